/**
 * Who makes an entry that is missing or out of date: of all that want it one has a lease on its key, the others wait.
 *
 *     nobody ──begin──► looking ──grant──► leased ──take──► writing ──end──► nobody
 *                          ▲  │ found        │ │                ▲
 *                          │  └──► nobody    │ └──── hold ──────┘   a write without the lease has come
 *                          └─── expired, and somebody waits
 *
 * Whoever has the turn (`looking`) asks the store, for what is missing in memory may be there; one asks, however many
 * want it. With nothing there, the turn becomes the lease. A lease is as good as its token, once, until its time is over:
 * it then is the next one's turn, in the order in which they came. A deletion or an invalidation ends whatever there is;
 * who holds a turn or a lease of before finds that out. An entry that is served while it is stale is leased at once
 * (`refresh`): nobody waits for it.
 *
 * All of it is in one thread. Bounded are the keys and those who wait, for all caches together (`LeaseRoom`); with no
 * room, an entry is looked for as if there were no leases, and nobody is kept waiting.
 */
import type { Clock } from '../base/clock.js';
import { type Call, Claim, type Fill, type SharedLease, type Turn, type Waiter } from './lease-claim.js';
import { isSameSecret, newSecret } from './lease-mark.js';
import type { LeaseRoom } from './lease-room.js';

export interface LeaseTableOptions {
  readonly clock: Clock;
  /** How long a lease lasts. */
  readonly leaseMs: number;
  readonly room: LeaseRoom;
  /** Where other servers may write it too: what was missing so long ago is looked for again. */
  readonly recheckMs?: number | undefined;
  /** Runs something later, unless the returned function is called before. */
  readonly later: (ms: number, run: () => void) => () => void;
}

const AGAIN: Call = { kind: 'again' };
const FOUND: Call = { kind: 'found' };
const OVER: Call = { kind: 'over' };

export class LeaseTable {
  readonly #options: LeaseTableOptions;
  readonly #claims = new Map<string, Claim>();
  #isClosed = false;
  /** Those who wait. */
  waiting = 0;
  granted = 0;
  /** Writes with a token that was none, or none any more: counted by whoever refuses them. */
  refused = 0;
  /** Leases whose time was over before a write. */
  expired = 0;
  /** Times that there was no room, for a lease or to wait. */
  crowded = 0;

  constructor(options: LeaseTableOptions) {
    this.#options = options;
    options.room.add(this);
  }

  /** How long a lease lasts. */
  get leaseMs(): number {
    return this.#options.leaseMs;
  }

  /** Keys that somebody looks for, has a lease on, or writes; some of them may be over. */
  get held(): number {
    return this.#claims.size;
  }

  /**
   * Of a key that is missing in memory: the turn, when nobody has it; `looking` when another has it; `missing` when
   * another has the lease; `unknown` when another has one, but the store may have the entry nevertheless; `full` when
   * there is no room.
   * @param isKnown memory knows that it is missing, and did so just now.
   */
  begin(key: string, isKnown = false): Turn | 'looking' | 'missing' | 'unknown' | 'full' {
    const claim = this.#live(key);
    if (claim === undefined) return this.#add(key)?.turn ?? 'full';
    if (claim.state === 'looking') return 'looking';
    if (!claim.isMissing) return 'unknown';
    const { recheckMs = Number.POSITIVE_INFINITY, clock } = this.#options;
    if (isKnown || claim.state !== 'leased' || clock.now() - claim.seenMs < recheckMs) return 'missing';
    return this.#look(claim);
  }

  /** The store has it. */
  found(turn: Turn): void {
    const claim = this.#open(turn);
    if (claim !== undefined) this.#end(claim, FOUND);
  }

  /**
   * The store does not have it: the token of the lease, which is made here unless it is given; `undefined` when it was
   * written or invalidated meanwhile, so ask again.
   */
  grant(turn: Turn, given?: SharedLease): string | undefined {
    const claim = this.#open(turn);
    if (claim === undefined) return undefined;
    this.#lease(claim, given);
    this.#waitOn(claim);
    return claim.token;
  }

  /** The store does not have it, but another server has given a lease on it. */
  elsewhere(turn: Turn, untilMs: number): void {
    const claim = this.#open(turn);
    if (claim === undefined) return;
    claim.state = 'leased';
    claim.untilMs = untilMs;
    this.#waitOn(claim);
  }

  /** Whoever had the turn does not want it any more. */
  pass(turn: Turn): void {
    const claim = this.#open(turn);
    if (claim !== undefined) this.#handOn(claim);
  }

  /** The store does not have it, and takes no lease: everybody makes it. */
  giveUp(turn: Turn): void {
    const claim = this.#open(turn);
    if (claim !== undefined) this.#end(claim, OVER);
  }

  /** The store could not say. */
  fail(turn: Turn, error: unknown): void {
    const claim = this.#open(turn);
    if (claim !== undefined) this.#end(claim, { kind: 'failed', error });
  }

  /** The token of a lease on what is served meanwhile; `undefined` when another has it, or there is no room. */
  refresh(key: string): string | undefined {
    const turn = this.beginRefresh(key);
    return turn && this.grantRefresh(turn);
  }

  /** The turn to ask the store for such a lease. Nobody waits for that who need not. */
  beginRefresh(key: string): Turn | undefined {
    return this.#live(key) === undefined ? this.#add(key)?.turn : undefined;
  }

  /** As `grant`, of what is served meanwhile. */
  grantRefresh(turn: Turn, given?: SharedLease): string | undefined {
    const claim = this.#open(turn);
    if (claim === undefined) return undefined;
    this.#lease(claim, given);
    for (const waiter of [...claim.waiters]) this.#wake(claim, waiter, FOUND);
    return claim.token;
  }

  /** Somebody waits for what another makes. */
  isAwaited(key: string): boolean {
    return (this.#claims.get(key)?.waiters.size ?? 0) > 0;
  }

  isLeased(key: string): boolean {
    return this.#claims.get(key)?.state === 'leased';
  }

  /**
   * Waits for what another makes: `wake` is called once, not before this returns; at `untilMs`, unless somebody is
   * looking just then. The returned function ends it unheard. `undefined` when there is no room, or nothing to wait for.
   */
  wait(key: string, untilMs: number, wake: (call: Call) => void): (() => void) | undefined {
    const { room, later, clock } = this.#options;
    const claim = this.#live(key);
    if (claim === undefined || this.#isClosed) return undefined;
    const nowMs = clock.now();
    if (untilMs <= nowMs && claim.state !== 'looking') return undefined;
    if (!room.takeWaiter()) {
      this.crowded++;
      return undefined;
    }
    const waiter: Waiter = { untilMs, wake, cancel: undefined };
    claim.waiters.add(waiter);
    this.waiting++;
    if (untilMs > nowMs) waiter.cancel = later(untilMs - nowMs, () => this.#late(claim, waiter));
    this.#arm(claim);
    return () => this.#leave(claim, waiter);
  }

  /** In how many seconds it is worth asking again; `undefined` when nobody makes it. */
  retryAfter(key: string): number | undefined {
    const claim = this.#live(key);
    if (claim === undefined) return undefined;
    const leftMs = claim.state === 'leased' ? claim.untilMs - this.#options.clock.now() : 0;
    return Math.max(1, Math.ceil(leftMs / 1000));
  }

  /** The right to write, if the token is that of a lease given here; it is used up. */
  take(key: string, token: string): Fill | undefined {
    const claim = this.#claims.get(key);
    const nowMs = this.#options.clock.now();
    if (claim?.state !== 'leased' || claim.untilMs <= nowMs || claim.token === '') return undefined;
    if (!isSameSecret(claim.token, token)) return undefined;
    this.#write(claim);
    let ended = () => {};
    claim.filled = new Promise(resolve => {
      ended = resolve;
    });
    const end = () => {
      ended();
      if (this.#claims.get(key) === claim) this.#end(claim, AGAIN);
    };
    return { tookMs: nowMs - claim.grantedMs, end };
  }

  /** A write without a lease has come, and `void` will follow: the lease is no more, those who wait go on doing so. */
  hold(key: string): void {
    const claim = this.#live(key);
    if (claim === undefined) return;
    if (claim.state === 'looking') this.#end(claim, AGAIN);
    else this.#write(claim);
  }

  /** A deletion has come, or a write without a lease has been answered: what began before is void. */
  void(key: string): void {
    const claim = this.#claims.get(key);
    if (claim !== undefined) this.#end(claim, AGAIN);
  }

  /** An invalidation has come. Resolves when no write is under way any more that a lease was given for before. */
  async voidWhere(isMeant: (key: string) => boolean): Promise<void> {
    const meant = [...this.#claims.values()].filter(({ key }) => isMeant(key));
    for (const claim of meant) this.#end(claim, AGAIN);
    await Promise.all(meant.map(({ filled }) => filled));
  }

  /** The server stops: nobody waits any longer. */
  close(): void {
    this.#isClosed = true;
    for (const claim of [...this.#claims.values()]) {
      if (claim.state === 'looking') continue;
      for (const waiter of [...claim.waiters]) this.#wake(claim, waiter, OVER);
    }
  }

  /** Forgets leases that are over. */
  sweep(): void {
    for (const key of [...this.#claims.keys()]) this.#live(key);
  }

  #live(key: string): Claim | undefined {
    const claim = this.#claims.get(key);
    if (claim?.state !== 'leased' || claim.waiters.size > 0) return claim;
    if (claim.untilMs > this.#options.clock.now()) return claim;
    this.expired++;
    this.#end(claim, AGAIN);
    return undefined;
  }

  #add(key: string): Claim | undefined {
    if (!this.#options.room.takeLease()) {
      this.crowded++;
      return undefined;
    }
    const claim = new Claim(key);
    this.#claims.set(key, claim);
    return claim;
  }

  #lease(claim: Claim, given: SharedLease | undefined): void {
    const nowMs = this.#options.clock.now();
    claim.state = 'leased';
    claim.token = given?.token ?? newSecret();
    claim.grantedMs = nowMs;
    claim.untilMs = given?.untilMs ?? nowMs + this.leaseMs;
    this.granted++;
  }

  /** Of what is missing. */
  #waitOn(claim: Claim): void {
    const nowMs = this.#options.clock.now();
    claim.isMissing = true;
    claim.seenMs = nowMs;
    for (const waiter of [...claim.waiters])
      if (waiter.untilMs <= nowMs || this.#isClosed) this.#wake(claim, waiter, OVER);
    this.#arm(claim);
  }

  #write(claim: Claim): void {
    claim.state = 'writing';
    claim.token = '';
    this.#disarm(claim);
  }

  /** The claim of a turn that is still one. */
  #open(turn: Turn): Claim | undefined {
    const claim = this.#claims.get(turn.key);
    return claim?.state === 'looking' && claim.turn === turn ? claim : undefined;
  }

  #end(claim: Claim, call: Call): void {
    this.#claims.delete(claim.key);
    this.#options.room.leases--;
    this.#disarm(claim);
    for (const waiter of [...claim.waiters]) this.#wake(claim, waiter, call);
  }

  /** To the first who waits. */
  #handOn(claim: Claim): void {
    const [next] = claim.waiters;
    if (next === undefined) return this.#end(claim, AGAIN);
    this.#wake(claim, next, { kind: 'turn', turn: this.#look(claim) });
  }

  #look(claim: Claim): Turn {
    this.#disarm(claim);
    claim.state = 'looking';
    claim.token = '';
    claim.isMissing = false;
    claim.turn = { key: claim.key };
    return claim.turn;
  }

  #arm(claim: Claim): void {
    if (claim.state !== 'leased' || claim.waiters.size === 0 || claim.cancel !== undefined) return;
    const { later, clock } = this.#options;
    claim.cancel = later(Math.max(0, claim.untilMs - clock.now()), () => {
      claim.cancel = undefined;
      this.expired++;
      this.#handOn(claim);
    });
  }

  #disarm(claim: Claim): void {
    claim.cancel?.();
    claim.cancel = undefined;
  }

  /** Whoever looks just then will soon know, so that is waited for. */
  #late(claim: Claim, waiter: Waiter): void {
    waiter.cancel = undefined;
    if (claim.state !== 'looking') this.#wake(claim, waiter, OVER);
  }

  #wake(claim: Claim, waiter: Waiter, call: Call): void {
    if (this.#leave(claim, waiter)) waiter.wake(call);
  }

  #leave(claim: Claim, waiter: Waiter): boolean {
    if (!claim.waiters.delete(waiter)) return false;
    waiter.cancel?.();
    this.#options.room.waiters--;
    this.waiting--;
    return true;
  }
}
