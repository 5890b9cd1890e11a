/**
 * The floor: uWebSockets.js that answers every request with the same bytes. As `bare-uws-params` it first takes from the
 * request what any server needs to find a record, which cannot be had for nothing either.
 */
import type { HttpRequest, HttpResponse, TemplatedApp } from 'uWebSockets.js';
import { announce, headerPairs, rivalOptions } from './rival.js';

interface UwsModule {
  App(): TemplatedApp;
  us_socket_local_port(socket: unknown): number;
}

/** As headrace's own front does: the newest that loads on this machine. */
async function loadUws(): Promise<UwsModule> {
  try {
    return (await import('uws-newer')).default;
  } catch {
    return (await import('uWebSockets.js')).default;
  }
}

const { name, headers, body } = rivalOptions();
const pairs = headerPairs(headers);

function answer(response: HttpResponse): void {
  for (const [name, value] of pairs) response.writeHeader(name, value);
  response.end(body);
}

function readThenAnswer(response: HttpResponse, request: HttpRequest): void {
  request.getParameter(0);
  decodeURIComponent(request.getParameter(1) ?? '');
  request.getQuery();
  request.getHeader('accept');
  answer(response);
}

function takeBodyThenAnswer(response: HttpResponse): void {
  response.onAborted(() => {});
  response.onData((_chunk, isLast) => {
    if (isLast) response.cork(() => answer(response));
  });
}

const uws = await loadUws();
const app = uws.App();
if (name === 'bare-uws-params') app.get('/v1/views/:view/records/:id', readThenAnswer);
app.get('/*', answer).post('/*', takeBodyThenAnswer);
app.listen('127.0.0.1', 0, socket => {
  if (socket === false) throw new Error('cannot listen');
  announce(uws.us_socket_local_port(socket));
});
