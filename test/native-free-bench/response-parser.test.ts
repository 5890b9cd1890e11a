/** The response parser: streams cut anywhere, and bytes that are no response. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  ProtocolError,
  type ResponseHead,
  ResponseParser,
} from '../../native-free-bench/load/response-parser.js';

interface Sent {
  readonly status: number;
  readonly body: Uint8Array;
  readonly cacheStatus: string;
  readonly serverTiming: string;
  readonly closes: boolean;
  readonly upperCase: boolean;
  readonly interim: boolean;
}

const token = fc.stringMatching(/^[a-zA-Z0-9;=., -]{0,40}$/).map(text => text.trim());

const sentResponse: fc.Arbitrary<Sent> = fc.record({
  status: fc.constantFrom(200, 201, 204, 304, 404, 422, 500, 503),
  body: fc.uint8Array({ maxLength: 300 }),
  cacheStatus: token,
  serverTiming: token,
  closes: fc.boolean(),
  upperCase: fc.boolean(),
  interim: fc.boolean(),
});

function isBodiless(status: number): boolean {
  return status === 204 || status === 304;
}

function wireOf({ status, body, cacheStatus, serverTiming, closes, upperCase, interim }: Sent): Buffer {
  const name = (text: string) => (upperCase ? text.toUpperCase() : text);
  const lines = [
    `HTTP/1.1 ${status} Whatever`,
    `${name('content-type')}: application/json`,
    `${name('cache-status')}:${cacheStatus}`,
    `${name('server-timing')}: ${serverTiming} `,
    ...(closes ? [`${name('connection')}: Close`] : []),
    ...(isBodiless(status) ? [] : [`${name('content-length')}: ${body.length}`]),
  ];
  const head = `${interim ? 'HTTP/1.1 100 Continue\r\n\r\n' : ''}${lines.join('\r\n')}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), isBodiless(status) ? Buffer.alloc(0) : body]);
}

function headOf({ status, body, cacheStatus, serverTiming, closes }: Sent): ResponseHead {
  return { status, bodyBytes: isBodiless(status) ? 0 : body.length, cacheStatus, serverTiming, closes };
}

function parse(chunks: readonly Buffer[]): ResponseHead[] {
  const heads: ResponseHead[] = [];
  const parser = new ResponseParser(head => heads.push(head));
  for (const chunk of chunks) parser.push(chunk);
  return heads;
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = places.map(place => place % (bytes.length + 1)).toSorted((a, b) => a - b);
  return [0, ...sorted].map((from, i) => bytes.subarray(from, sorted[i] ?? bytes.length));
}

test('responses are read alike however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(sentResponse, { maxLength: 8 }),
      fc.array(fc.nat(), { maxLength: 40 }),
      (sent, places) => {
        const wire = Buffer.concat(sent.map(wireOf));
        expect(parse(cut(wire, places))).toEqual(sent.map(headOf));
      },
    ),
    { numRuns: 1_000 },
  );
});

test('byte by byte is no different', () => {
  fc.assert(
    fc.property(fc.array(sentResponse, { maxLength: 3 }), sent => {
      const wire = Buffer.concat(sent.map(wireOf));
      expect(parse([...wire].map(byte => Buffer.from([byte])))).toEqual(sent.map(headOf));
    }),
    { numRuns: 50 },
  );
});

test('a response is not reported before its last byte', () => {
  const wire = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello');
  expect(parse([wire.subarray(0, -1)])).toEqual([]);
  expect(parse([wire.subarray(0, -1), wire.subarray(-1)]).length).toBe(1);
});

test.each([
  ['no status line', 'nonsense\r\n\r\n'],
  ['another protocol', 'SSH-2.0-x\r\n\r\n'],
  ['HTTP/2', 'HTTP/2 200 OK\r\n\r\n'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n'],
  ['no length', 'HTTP/1.1 200 OK\r\n\r\n'],
  ['an empty length', 'HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\n'],
  ['a negative length', 'HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n'],
  ['a chunked body', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'],
  ['a line without colon', 'HTTP/1.1 200 OK\r\nnonsense\r\ncontent-length: 0\r\n\r\n'],
  ['a head without end', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(70_000)}`],
])('%s is an error', (_what, text) => {
  expect(() => parse([Buffer.from(text)])).toThrow(ProtocolError);
});

test('arbitrary bytes are answered with an error or nothing', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), chunks => {
      try {
        parse([
          Buffer.from('HTTP/1.1 '),
          ...chunks.map(chunk => Buffer.from(chunk)),
          Buffer.from('\r\n\r\n'),
        ]);
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
      }
    }),
    { numRuns: 1_000 },
  );
});
