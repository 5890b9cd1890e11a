/** How what was planned of events is carried out: in which order, and what becomes of the rest when something fails. */
import { expect, test } from 'vitest';
import { HeadraceError } from '../../../src/base/errors.js';
import { JsonReader } from '../../../src/base/json.js';
import { readDefinitions } from '../../../src/caches/definitions-file.js';
import { carryOut } from '../../../src/caches/events/event-outcome.js';
import { planEvents } from '../../../src/caches/events/event-plan.js';
import { readEvents } from '../../../src/caches/events/event-reader.js';
import { neededMembers } from '../../../src/caches/events/event-rules.js';

const { events: rules } = readDefinitions(
  Buffer.from(
    JSON.stringify({
      events: {
        changed: [
          { cache: 'results', prefix: '{id}:' },
          { cache: 'results', all: true },
          { view: 'results', ids: ['{id}'] },
          { cache: 'plans', ids: ['{id}'] },
        ],
      },
    }),
  ),
  'f',
);
const event = Buffer.from('{"type":"changed","id":["a","b"]}');
const planned = planEvents(rules, readEvents(new JsonReader(), event, neededMembers(rules)));

/** Targets whose calls end when they are told how. */
class Targets {
  readonly calls = new Map<string, (count: number | HeadraceError) => void>();
  readonly cache = (name: string, what: object) => this.#call(`cache ${name} ${JSON.stringify(what)}`);
  readonly view = (name: string, what: object) => this.#call(`view ${name} ${JSON.stringify(what)}`);

  #call(call: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.calls.set(call, count => (count instanceof HeadraceError ? reject(count) : resolve(count)));
    });
  }

  /** Ends the calls under way; resolves when those that follow are begun. */
  async end(answer: (call: string) => number | HeadraceError): Promise<readonly string[]> {
    const ended = [...this.calls];
    this.calls.clear();
    for (const [call, settle] of ended) settle(answer(call));
    await new Promise(resolve => setImmediate(resolve));
    return ended.map(([call]) => call);
  }
}

const ALL_ROUNDS = [
  [
    'cache results {"kind":"prefix","prefix":"a:"}',
    'view results {"kind":"ids","ids":["a","b"]}',
    'cache plans {"kind":"ids","ids":["a","b"]}',
  ],
  ['cache results {"kind":"prefix","prefix":"b:"}'],
  ['cache results {"kind":"all"}'],
];

async function rounds(
  targets: Targets,
  answer: (call: string) => number | HeadraceError,
): Promise<unknown[]> {
  const made: unknown[] = [];
  await new Promise(resolve => setImmediate(resolve));
  while (targets.calls.size > 0) made.push(await targets.end(answer));
  return made;
}

test('what is of one cache is done in turn, the rest beside it', async () => {
  const targets = new Targets();
  const outcomes = carryOut(planned, targets);
  expect(await rounds(targets, () => 3)).toEqual(ALL_ROUNDS);
  expect(await outcomes).toEqual([
    { event: 'changed', cache: 'results', prefix: 2, invalidated: 6 },
    { event: 'changed', cache: 'results', all: 1, invalidated: 3 },
    { event: 'changed', view: 'results', ids: 2, invalidated: 3 },
    { event: 'changed', cache: 'plans', ids: 2, invalidated: 3 },
  ]);
});

test('what fails is told when the rest is done, which it does not hold back', async () => {
  const targets = new Targets();
  const away = new HeadraceError('unavailable', 'away');
  const failed = carryOut(planned, targets).catch((error: unknown) => error);
  const isFailing = (call: string) => call.includes('"a:"') || call.startsWith('view');
  expect(await rounds(targets, call => (isFailing(call) ? away : 1))).toEqual([
    ALL_ROUNDS[0],
    // Of the rule that failed nothing more, but the next rule.
    ALL_ROUNDS[2],
  ]);
  expect(await failed).toBe(away);
});
