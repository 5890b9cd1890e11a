import { expect, it } from 'vitest';
import type { Problem } from '../../src/base/errors.js';
import { errorAnswers } from '../../src/front/answer-error.js';
import type { Exchange } from '../../src/front/front.js';
import { recordHandlers } from '../../src/front/record-handlers.js';
import type { RecordStore } from '../../src/lookup/record-store.js';
import { viewOf } from '../../src/views/schema.js';
import { VIEW } from '../resolve/fixture.js';

const view = viewOf(VIEW);

/** An exchange whose first answer throws, as a bug in the making of an answer would. */
function brokenExchange(): { exchange: Exchange; answered: Promise<Problem> } {
  let tell: (problem: Problem) => void = () => undefined;
  const answered = new Promise<Problem>(resolve => {
    tell = resolve;
  });
  const exchange: Exchange = {
    method: 'GET',
    path: '',
    query: '',
    aborted: false,
    header: () => '',
    headerList: () => '',
    later: () => exchange,
    readBody: (_limit, done) => done(new Uint8Array(0), exchange),
    streamBody: () => ({ pause() {}, resume() {} }),
    respond() {
      throw new Error('a bug');
    },
    fail: problem => tell(problem),
  };
  return { exchange, answered };
}

it.each(['GET', 'PUT', 'DELETE'])(
  'answers a %s whose answer fails by a bug with 500, and logs it',
  async method => {
    // What the handlers use of it; a record too short to be one cannot be read.
    const store = {
      l1Bytes: new Uint8Array(64),
      now: () => 0,
      probe: () => -1,
      fetch: async () => new Uint8Array(4),
      write: async () => ({ version: 1, applied: true }),
      remove: async () => ({ version: 1, applied: true }),
    } as unknown as RecordStore;
    const logged: unknown[] = [];
    const answerError = errorAnswers(error => logged.push(error));
    const handlers = recordHandlers({ store, bodyBytesMax: 1024, answerError });
    const { exchange, answered } = brokenExchange();
    handlers[method]?.(exchange, view, 'a');
    expect(await answered).toMatchObject({ status: 500, type: 'urn:headrace:problem:internal' });
    expect(logged).toHaveLength(1);
  },
);
