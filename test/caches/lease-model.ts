/** What a `LeaseTable` is to do, said as simply as possible: for one key, with time that only moves when told to. */
import type { Call } from '../../src/caches/lease-claim.js';

export type Kind = Call['kind'];

/** Of whoever waits: its number, and what it is told. */
export type Told = readonly [waiter: number, kind: Kind];

interface Waiting {
  readonly waiter: number;
  readonly untilMs: number;
}

export class LeaseModel {
  state: 'none' | 'looking' | 'leased' | 'writing' = 'none';
  /** Which of the turns, leases or writes it is. */
  number = 0;
  #untilMs = 0;
  #isMissing = false;
  #waiting: Waiting[] = [];
  readonly told: Told[] = [];

  get waiters(): number {
    return this.#waiting.length;
  }

  begin(nowMs: number): 'turn' | 'looking' | 'missing' | 'unknown' {
    this.#expire(nowMs);
    if (this.state === 'none') {
      this.#look();
      return 'turn';
    }
    if (this.state === 'looking') return 'looking';
    return this.#isMissing ? 'missing' : 'unknown';
  }

  /** Of the turn with this number. */
  isTurn(number: number): boolean {
    return this.state === 'looking' && this.number === number;
  }

  grant(nowMs: number, leaseMs: number): void {
    this.#lease(nowMs, leaseMs, true);
    for (const { waiter, untilMs } of [...this.#waiting]) if (untilMs <= nowMs) this.#tell(waiter, 'over');
  }

  refresh(nowMs: number, leaseMs: number): boolean {
    this.#expire(nowMs);
    if (this.state !== 'none') return false;
    this.#lease(nowMs, leaseMs, false);
    return true;
  }

  pass(): void {
    const [next] = this.#waiting;
    if (next === undefined) return this.end('again');
    this.#look();
    this.#tell(next.waiter, 'turn');
  }

  end(kind: Kind): void {
    this.state = 'none';
    for (const { waiter } of [...this.#waiting]) this.#tell(waiter, kind);
  }

  isWaitable(nowMs: number, untilMs: number): boolean {
    this.#expire(nowMs);
    return this.state !== 'none' && (untilMs > nowMs || this.state === 'looking');
  }

  wait(waiter: number, untilMs: number): void {
    this.#waiting.push({ waiter, untilMs });
  }

  leave(waiter: number): void {
    this.#waiting = this.#waiting.filter(waiting => waiting.waiter !== waiter);
  }

  isLease(number: number, nowMs: number): boolean {
    return this.state === 'leased' && this.number === number && nowMs < this.#untilMs;
  }

  write(): void {
    this.state = 'writing';
  }

  hold(nowMs: number): void {
    this.#expire(nowMs);
    if (this.state === 'looking') this.end('again');
    else if (this.state === 'leased') this.write();
  }

  /** Time moves by one millisecond. */
  tick(nowMs: number): void {
    const isOver = this.state === 'leased' && this.#untilMs === nowMs;
    if (isOver && this.#waiting.length > 0) this.pass();
    if (this.state === 'looking') return;
    for (const { waiter, untilMs } of [...this.#waiting]) if (untilMs === nowMs) this.#tell(waiter, 'over');
  }

  #look(): void {
    this.state = 'looking';
    this.number++;
    this.#isMissing = false;
  }

  #lease(nowMs: number, leaseMs: number, isMissing: boolean): void {
    this.state = 'leased';
    this.number++;
    this.#untilMs = nowMs + leaseMs;
    this.#isMissing = isMissing;
  }

  #expire(nowMs: number): void {
    if (this.state === 'leased' && this.#untilMs <= nowMs && this.#waiting.length === 0) this.state = 'none';
  }

  #tell(waiter: number, kind: Kind): void {
    this.leave(waiter);
    this.told.push([waiter, kind]);
  }
}
