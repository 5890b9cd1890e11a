/** Leases against a simple model, in seeded schedules of everything that may happen; and what they are by example. */
import { describe, expect, it } from 'vitest';
import type { Call, Fill, Turn } from '../../src/caches/lease-claim.js';
import { LeaseRoom } from '../../src/caches/lease-room.js';
import { LeaseTable } from '../../src/caches/lease-table.js';
import { FULL, FULL_TIMEOUT, SEED, Seeded } from '../base/seeded.js';
import { LeaseModel, type Told } from './lease-model.js';
import { ManualTimers } from './manual-timers.js';

/** Odd, while all else happens at even times: nothing falls together of which either might come first. */
const LEASE_MS = 21;

function open(leasesMax = 100, waitersMax = 100) {
  const timers = new ManualTimers();
  const { clock, later } = timers;
  const room = new LeaseRoom({ leasesMax, waitersMax, clock });
  const table = new LeaseTable({ clock, leaseMs: LEASE_MS, room, later });
  const pass = (ms: number) => {
    for (let n = 0; n < ms; n++) timers.tick();
  };
  return { timers, clock, room, table, pass };
}

function turnOf(table: LeaseTable, key: string): Turn {
  const turn = table.begin(key);
  if (typeof turn === 'string') throw new Error(`no turn: ${turn}`);
  return turn;
}

/** A table of one key, its model, and all that was ever given for it. */
class Pair {
  readonly #parts = open();
  readonly #model = new LeaseModel();
  readonly #told: Told[] = [];
  readonly #random: Seeded;
  /** By the model's numbers. */
  readonly #turns: { readonly turn: Turn; readonly number: number }[] = [];
  readonly #tokens: { readonly token: string; readonly number: number }[] = [];
  readonly #fills: { readonly fill: Fill; readonly number: number }[] = [];
  readonly #leaves: { readonly leave: () => void; readonly waiter: number }[] = [];
  #waiters = 0;

  constructor(random: Seeded) {
    this.#random = random;
  }

  step(): void {
    const steps = [
      () => this.#begin(),
      () => this.#begin(),
      () => this.#settle('grant'),
      () => this.#settle('grant'),
      () => this.#settle('found'),
      () => this.#settle('pass'),
      () => this.#settle('fail'),
      () => this.#refresh(),
      () => this.#wait(),
      () => this.#wait(),
      () => this.#leave(),
      () => this.#take(),
      () => this.#take(),
      () => this.#endFill(),
      () => this.#void(),
      () => this.#advance(),
      () => this.#advance(),
    ];
    this.#random.pick(steps)();
    this.#noteTurn();
    const { room, table } = this.#parts;
    expect(this.#told.splice(0)).toEqual(this.#model.told.splice(0));
    expect(room.waiters).toBe(this.#model.waiters);
    expect(room.leases).toBe(table.held);
  }

  get #now(): number {
    return this.#parts.clock.now();
  }

  #begin(): void {
    const turn = this.#parts.table.begin('k');
    const expected = this.#model.begin(this.#now);
    expect(typeof turn === 'string' ? turn : 'turn').toBe(expected);
    if (typeof turn !== 'string') this.#turns.push({ turn, number: this.#model.number });
  }

  /** Any turn that there ever was: an old one must do nothing. */
  #settle(how: 'grant' | 'found' | 'pass' | 'fail'): void {
    const { table } = this.#parts;
    const given = this.#turns[this.#turns.length - 1 - this.#random.below(3)];
    if (given === undefined) return;
    const { turn, number } = given;
    const isGood = this.#model.isTurn(number);
    if (how === 'grant') {
      const token = table.grant(turn);
      expect(token !== undefined).toBe(isGood);
      if (isGood) this.#model.grant(this.#now, LEASE_MS);
      if (token !== undefined) this.#tokens.push({ token, number: this.#model.number });
    } else if (how === 'found') {
      table.found(turn);
      if (isGood) this.#model.end('found');
    } else if (how === 'pass') {
      table.pass(turn);
      if (isGood) this.#model.pass();
    } else {
      table.fail(turn, new Error('no'));
      if (isGood) this.#model.end('failed');
    }
  }

  #refresh(): void {
    const token = this.#parts.table.refresh('k');
    expect(token !== undefined).toBe(this.#model.refresh(this.#now, LEASE_MS));
    if (token !== undefined) this.#tokens.push({ token, number: this.#model.number });
  }

  #wait(): void {
    const waiter = ++this.#waiters;
    const untilMs = this.#now + 2 * this.#random.below(30);
    let isWaiting = false;
    const leave = this.#parts.table.wait('k', untilMs, call => this.#hear(waiter, call, isWaiting));
    isWaiting = true;
    const isWaitable = this.#model.isWaitable(this.#now, untilMs);
    expect(leave !== undefined).toBe(isWaitable);
    if (isWaitable) this.#model.wait(waiter, untilMs);
    if (leave !== undefined) this.#leaves.push({ leave, waiter });
  }

  #hear(waiter: number, call: Call, isWaiting: boolean): void {
    expect(isWaiting).toBe(true);
    this.#told.push([waiter, call.kind]);
    if (call.kind === 'turn') this.#given = call.turn;
  }

  /** The turn that somebody who waited was given: its number is known when the model has come to it. */
  #given: Turn | undefined;

  #leave(): void {
    const left = this.#leaves[this.#random.below(this.#leaves.length + 1)];
    left?.leave();
    if (left !== undefined) this.#model.leave(left.waiter);
  }

  #take(): void {
    const { table } = this.#parts;
    const given = this.#tokens[this.#tokens.length - 1 - this.#random.below(3)];
    const token = given === undefined || this.#random.below(5) === 0 ? forged(given?.token) : given.token;
    const isGood =
      given !== undefined && token === given.token && this.#model.isLease(given.number, this.#now);
    const fill = table.take('k', token);
    expect(fill !== undefined).toBe(isGood);
    if (isGood) this.#model.write();
    if (fill !== undefined) this.#fills.push({ fill, number: this.#model.number });
  }

  #endFill(): void {
    const given = this.#fills.pop();
    if (given === undefined) return;
    given.fill.end();
    if (this.#model.state === 'writing' && this.#model.number === given.number) this.#model.end('again');
  }

  #void(): void {
    const { table } = this.#parts;
    if (this.#random.below(2) === 0) {
      table.hold('k');
      this.#model.hold(this.#now);
    } else {
      if (this.#random.below(2) === 0) table.void('k');
      else void table.voidWhere(key => key === 'k');
      this.#model.end('again');
    }
  }

  #advance(): void {
    const ms = 2 * (1 + this.#random.below(15));
    for (let n = 0; n < ms; n++) {
      this.#parts.timers.tick();
      this.#model.tick(this.#now);
      this.#noteTurn();
    }
  }

  #noteTurn(): void {
    if (this.#given === undefined) return;
    this.#turns.push({ turn: this.#given, number: this.#model.number });
    this.#given = undefined;
  }
}

function forged(token = 'x'.repeat(22)): string {
  const place = token.length >> 1;
  return `${token.slice(0, place)}${token[place] === 'A' ? 'B' : 'A'}${token.slice(place + 1)}`;
}

describe('a table of leases', () => {
  it(`does what its model does, whatever happens (seed ${SEED})`, FULL_TIMEOUT, () => {
    for (let run = 0; run < (FULL ? 2_000 : 80); run++) {
      const pair = new Pair(new Seeded(SEED + run));
      for (let step = 0; step < 200; step++) pair.step();
    }
  });

  it('gives one of a thousand the turn, and one lease; the others are told when it is written', () => {
    const { table, pass } = open(10, 1_000);
    const turn = turnOf(table, 'k');
    const calls: Call['kind'][] = [];
    for (let n = 1; n < 1_000; n++) {
      expect(table.begin('k')).toBe('looking');
      table.wait('k', 10_000, ({ kind }) => calls.push(kind));
    }
    const token = table.grant(turn);
    pass(10);
    const fill = table.take('k', token ?? '');
    expect([table.granted, fill?.tookMs, calls.length]).toEqual([1, 10, 0]);
    fill?.end();
    expect([calls.length, new Set(calls)]).toEqual([999, new Set(['again'])]);
    expect(table.held).toBe(0);
  });

  it('gives those who wait the turn in the order in which they came, when the lease is over', () => {
    const { table, pass, timers } = open();
    table.grant(turnOf(table, 'k'));
    const order: string[] = [];
    const wait = (name: string) =>
      table.wait('k', 1_000, call => {
        order.push(`${name} ${call.kind}`);
        if (call.kind === 'turn') table.grant(call.turn);
      });
    wait('a');
    const leave = wait('b');
    wait('c');
    leave?.();
    pass(LEASE_MS - 1);
    expect(order).toEqual([]);
    pass(1);
    expect(order).toEqual(['a turn']);
    pass(LEASE_MS);
    expect(order).toEqual(['a turn', 'c turn']);
    expect([table.granted, table.expired, timers.size]).toEqual([3, 2, 0]);
  });

  it('has one look again after a while, where another server may have made it', () => {
    const timers = new ManualTimers();
    const { clock, later } = timers;
    const room = new LeaseRoom({ leasesMax: 9, waitersMax: 9, clock });
    const table = new LeaseTable({ clock, leaseMs: 1_000, room, later, recheckMs: 3 });
    table.elsewhere(turnOf(table, 'k'), 500);
    const calls: Call['kind'][] = [];
    table.wait('k', 400, ({ kind }) => calls.push(kind));
    timers.tick();
    timers.tick();
    expect(table.begin('k')).toBe('missing');
    timers.tick();
    expect(table.begin('k', true)).toBe('missing');
    const again = turnOf(table, 'k');
    expect(table.begin('k')).toBe('looking');
    table.elsewhere(again, 500);
    expect([table.begin('k'), calls, table.granted]).toEqual(['missing', [], 0]);
    table.void('k');
    expect(calls).toEqual(['again']);
  });

  it('keeps nobody waiting without room, and gives no lease; what is over makes room', () => {
    const { table, pass, room } = open(2, 1);
    table.grant(turnOf(table, 'a'));
    table.grant(turnOf(table, 'b'));
    expect(table.begin('c')).toBe('full');
    expect(table.refresh('c')).toBeUndefined();
    expect(table.wait('a', 1_000, () => undefined)).toBeTypeOf('function');
    expect(table.wait('a', 1_000, () => undefined)).toBeUndefined();
    expect(table.crowded).toBe(3);
    // One that somebody waits for goes on to whoever that is; the other is forgotten.
    pass(1_000 + LEASE_MS);
    expect(typeof table.begin('c')).toBe('object');
    expect([room.leases, room.waiters]).toEqual([2, 0]);
  });

  it('waits, before an invalidation, for what is being written with a lease', async () => {
    const { table } = open();
    const fill = table.take('k', table.grant(turnOf(table, 'k')) ?? '');
    const others = table.voidWhere(key => key !== 'k');
    await others;
    let isVoid = false;
    const voided = table
      .voidWhere(() => true)
      .then(() => {
        isVoid = true;
      });
    await new Promise(setImmediate);
    expect([isVoid, table.held]).toEqual([false, 0]);
    // Whoever comes now has nothing to do with that write.
    const next = table.grant(turnOf(table, 'k')) ?? '';
    fill?.end();
    await voided;
    expect(table.take('k', next)).toBeDefined();
  });

  it('keeps nobody waiting once it is closed', () => {
    const { table } = open();
    const calls: Call['kind'][] = [];
    const wait = (key: string) => table.wait(key, 1_000, ({ kind }) => calls.push(kind));
    table.grant(turnOf(table, 'leased'));
    wait('leased');
    const looking = turnOf(table, 'looking');
    wait('looking');
    table.close();
    expect(calls).toEqual(['over']);
    table.grant(looking);
    expect(calls).toEqual(['over', 'over']);
    expect(wait('leased')).toBeUndefined();
  });
});
