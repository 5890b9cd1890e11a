/** What a table of leases is made of, and what it gives out: turns, rights to write, and calls to those who wait. */

/** What whoever waits is told, once. */
export type Call =
  /** It may be there now, or be leased again: ask again. */
  | { readonly kind: 'again' }
  /** It is in the store. */
  | { readonly kind: 'found' }
  /** It was not there in time. */
  | { readonly kind: 'over' }
  | { readonly kind: 'turn'; readonly turn: Turn }
  | { readonly kind: 'failed'; readonly error: unknown };

export interface Waiter {
  readonly untilMs: number;
  readonly wake: (call: Call) => void;
  cancel: (() => void) | undefined;
}

/** The right to ask the store, and to be given the lease. */
export interface Turn {
  readonly key: string;
}

/** A lease that was given in the store, for all servers that share it. */
export interface SharedLease {
  readonly token: string;
  readonly untilMs: number;
}

/** The right to write, for which a token was given. */
export interface Fill {
  /** Since the lease was given. */
  readonly tookMs: number;
  /** The write has been answered, in whichever way. */
  end(): void;
}

/** What is under way about a key; see `lease-table.ts` for its states. */
export class Claim {
  readonly key: string;
  state: 'looking' | 'leased' | 'writing' = 'looking';
  /** Another each time that it is given. */
  turn: Turn;
  token = '';
  grantedMs = 0;
  untilMs = 0;
  /** The store does not have it: nobody else need ask. */
  isMissing = false;
  /** When it did not. */
  seenMs = 0;
  readonly waiters = new Set<Waiter>();
  /** Of its time, while somebody waits for that. */
  cancel: (() => void) | undefined;
  /** Of the write that took the lease. */
  filled: Promise<void> | undefined;

  constructor(key: string) {
    this.key = key;
    this.turn = { key };
  }
}
