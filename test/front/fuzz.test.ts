import fc from 'fast-check';
import { request } from 'undici';
import { describe, expect, test } from 'vitest';
import { BodyBuffer } from '../../src/front/body-buffer.js';
import type { Exchange } from '../../src/front/front.js';
import { FRONTS, start, until } from './fronts.js';

const { HEADRACE_TEST_FULL, HEADRACE_TEST_SEED } = process.env;
const SEED = Number(HEADRACE_TEST_SEED ?? Date.now() & 0x7fffffff);
const REQUESTS = HEADRACE_TEST_FULL === '1' ? 100_000 : 4_000;

/** mulberry32. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Answers what was kept in random order, some in each turn of the loop, until stopped. */
function answerAtRandom(random: () => number, kept: (() => void)[]): () => void {
  let stopped = false;
  const turn = () => {
    for (let n = Math.ceil(random() * 4); n > 0 && kept.length > 0; n -= 1) {
      const at = Math.floor(random() * kept.length);
      const [answer] = kept.splice(at, 1);
      answer?.();
    }
    if (!stopped) setImmediate(turn);
  };
  turn();
  return () => {
    stopped = true;
  };
}

describe.each(FRONTS)('%s front: fuzz', kind => {
  test(`gives each of ${REQUESTS} requests its own answer, seed ${SEED}`, async () => {
    const random = randomOf(SEED);
    const kept: (() => void)[] = [];
    const respond = (exchange: Exchange, extra: number) =>
      exchange.respond(200, ['x-id', exchange.query], `${exchange.method} ${exchange.path} ${extra}`);
    const { front, errors, client } = await start(kind, exchange => {
      const dice = random();
      if (exchange.method === 'POST') {
        exchange.readBody(1_000_000, ({ byteLength }, asked) => {
          if (dice < 0.5) respond(asked, byteLength);
          else kept.push(() => respond(asked, byteLength));
        });
      } else if (dice < 0.3) {
        respond(exchange, 0);
      } else {
        const later = exchange.later();
        kept.push(() => respond(later, 0));
      }
    });
    const stop = answerAtRandom(random, kept);
    const origin = `http://127.0.0.1:${front.port}`;
    let next = 0;
    const ask = async () => {
      while (next < REQUESTS) {
        const id = next;
        next += 1;
        if (random() < 0.05) {
          // One that leaves: nobody else may get its answer.
          const raw = await client();
          await raw.request(`/gone?${id}`);
          raw.destroy();
          continue;
        }
        const size = Math.floor(random() * (random() < 0.05 ? 300_000 : 300));
        const method = random() < 0.4 ? 'POST' : 'GET';
        const body = method === 'POST' ? Buffer.alloc(size) : null;
        const answer = await request(`${origin}/doc/${id}?${id}`, { method, body });
        expect(answer.headers['x-id']).toBe(String(id));
        expect(await answer.body.text()).toBe(`${method} /doc/${id} ${method === 'POST' ? size : 0}`);
      }
    };
    await Promise.all(Array.from({ length: 40 }, ask));
    await until(() => front.pending === 0);
    stop();
    expect(errors).toEqual([]);
  });
});

describe('body buffer', () => {
  test('is the chunks joined, up to its limit', () => {
    const chunks = fc.array(fc.uint8Array({ maxLength: 5000 }), { maxLength: 30 });
    const property = fc.property(chunks, fc.nat(40_000), fc.nat(100_000), (parts, limit, expected) => {
      const buffer = new BodyBuffer(limit, expected);
      const taken: Uint8Array[] = [];
      let bytes = 0;
      for (const part of parts) {
        const fits = bytes + part.byteLength <= limit;
        expect(buffer.append(part)).toBe(fits);
        if (!fits) continue;
        bytes += part.byteLength;
        taken.push(part);
      }
      expect(Buffer.compare(Buffer.concat(taken), buffer.take())).toBe(0);
    });
    fc.assert(property, { seed: SEED, numRuns: 200 });
  });

  test('takes a client at its word neither for nothing nor for everything', () => {
    for (const expected of [Number.NaN, 0, -1, 2 ** 53, Number.POSITIVE_INFINITY]) {
      const buffer = new BodyBuffer(1_000_000, expected);
      expect(buffer.append(new Uint8Array(1_000_000))).toBe(true);
      expect(buffer.append(new Uint8Array(1))).toBe(false);
      expect(buffer.take().byteLength).toBe(1_000_000);
    }
  });
});
