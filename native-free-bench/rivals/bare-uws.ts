/**
 * The floor: uWebSockets.js that answers every request with the same bytes. As `bare-uws-params` it first takes from
 * the request what any server needs to find a record, which cannot be had for nothing either.
 */
import type { HttpRequest, HttpResponse, TemplatedApp } from 'uWebSockets.js';
import { headerPairs, ID_PATHS, type RivalTask } from './rival.js';

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

export async function serve({ name, headers, body }: RivalTask): Promise<number> {
  const pairs = headerPairs(headers);
  const answer = (response: HttpResponse) => {
    for (const [header, value] of pairs) response.writeHeader(header, value);
    response.end(body);
  };
  const readThenAnswer = (header: string) => (response: HttpResponse, request: HttpRequest) => {
    request.getParameter(0);
    decodeURIComponent(request.getParameter(1) ?? '');
    request.getQuery();
    request.getHeader(header);
    answer(response);
  };
  const takeBodyThenAnswer = (response: HttpResponse) => {
    response.onAborted(() => {});
    response.onData((_chunk, isLast) => {
      if (isLast) response.cork(() => answer(response));
    });
  };

  const uws = await loadUws();
  const app = uws.App();
  const [record, entry] = ID_PATHS;
  if (name === 'bare-uws-params')
    app.get(record, readThenAnswer('accept')).get(entry, readThenAnswer('if-none-match'));
  app.get('/*', answer).post('/*', takeBodyThenAnswer);
  return new Promise((resolve, reject) => {
    app.listen('127.0.0.1', 0, socket => {
      if (socket === false) reject(new Error('cannot listen'));
      else resolve(uws.us_socket_local_port(socket));
    });
  });
}
