/** Which key follows which: against a plain model where there is room, and under more than there is room for. */
import { expect, test } from 'vitest';
import { NO_NODE, Successors } from '../../src/caches/successors.js';
import { SEED, Seeded } from '../base/seeded.js';

const hashOf = (n: number) => Math.imul(n + 1, 0x9e3779b1) | 1;
const idOf = (n: number) => `key-${n}`;

function predicted(successors: Successors, node: number): string[] {
  const into = new Int32Array(4);
  const count = node === NO_NODE ? 0 : successors.predict(node, into);
  return [...into.subarray(0, count)].map(hash => successors.idOf(hash)).sort();
}

/** The same with maps, without bounds. */
class Model {
  readonly #last = new Map<number, { key: number; atMs: number }>();
  readonly #followers = new Map<number, Map<number, number>>();
  readonly #visits = new Map<number, number>();

  saw(session: number, key: number, nowMs: number): string[] {
    const last = this.#last.get(session);
    this.#last.set(session, { key, atMs: nowMs });
    const isNext = last !== undefined && nowMs - last.atMs <= 300_000;
    const isAgain = isNext && last.key === key;
    this.#visits.set(key, (this.#visits.get(key) ?? 0) + (isAgain ? 0 : 1));
    if (isNext && !isAgain) {
      const counts = this.#followers.get(last.key) ?? new Map<number, number>();
      counts.set(key, (counts.get(key) ?? 0) + 1);
      this.#followers.set(last.key, counts);
    }
    const counts = [...(this.#followers.get(key) ?? [])];
    const before = (this.#visits.get(key) ?? 0) - 1;
    const likely = counts.filter(([, count]) => count >= 2 && 2 * count >= before);
    return likely.map(([follower]) => idOf(follower)).sort();
  }
}

test('predicts what a model without bounds does, for any sessions that have room', () => {
  console.log(`successors: seed ${SEED}`);
  const random = new Seeded(SEED);
  let predictions = 0;
  for (let round = 0; round < 50; round++) {
    const successors = new Successors(4_096);
    const model = new Model();
    const keys = 2 + random.below(12);
    const followers = 1 + random.below(4);
    const at = Array.from({ length: 1 + random.below(5) }, () => random.below(keys));
    let nowMs = 1_000_000;
    for (let step = 0; step < 500; step++) {
      const session = random.below(at.length);
      // To one of few others; the same again at times, and after a pause that is too long.
      const next =
        random.below(8) === 0
          ? (at[session] ?? 0)
          : ((at[session] ?? 0) * 3 + random.below(followers)) % keys;
      at[session] = next;
      nowMs += random.below(40) === 0 ? 299_990 + random.below(20) : random.below(100);
      const node = successors.saw(session + 1, hashOf(next), idOf(next), nowMs);
      const expected = model.saw(session, next, nowMs);
      expect(predicted(successors, node)).toEqual(expected);
      predictions += expected.length;
    }
    expect(successors.size).toBeLessThanOrEqual(keys);
  }
  expect(predictions).toBeGreaterThan(1_000);
});

test('keeps to its size, and what comes often through any number of others', () => {
  console.log(`successors under noise: seed ${SEED}`);
  const random = new Seeded(SEED);
  const successors = new Successors(256);
  const ring = 16;
  let right = 0;
  let asked = 0;
  let one = 1_000;
  for (let step = 0; step < 60_000; step++) {
    // Two keys of a ring, then one that never comes again.
    const at = step % ring;
    const node = successors.saw(1, hashOf(at), idOf(at), step);
    if (random.below(3) === 0) successors.saw(1 + random.below(30), hashOf(++one), idOf(one), step);
    if (step < 2_000) continue;
    asked++;
    if (predicted(successors, node).join() === idOf((at + 1) % ring)) right++;
  }
  expect(successors.size).toBeLessThanOrEqual(256);
  expect(right / asked).toBeGreaterThan(0.9);
});

test('learns anew what has changed', () => {
  const successors = new Successors(64);
  const walk = (to: number, times: number) => {
    let node = NO_NODE;
    for (let time = 0; time < times; time++) {
      node = successors.saw(7, hashOf(0), idOf(0), time);
      successors.saw(7, hashOf(to), idOf(to), time);
    }
    return predicted(successors, node);
  };
  expect(walk(1, 10_000)).toEqual([idOf(1)]);
  expect(walk(2, 400)).toEqual([idOf(2)]);
});
