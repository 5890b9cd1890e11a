/**
 * A history of what clients of several servers did and saw, and the check of it: pure, times in milliseconds.
 *
 * A key is a register that the larger version wins, whose values expire and can be deleted. What is known of it at a
 * moment follows from what was acknowledged before, and from what anybody was shown. A read may lag behind that by the
 * bound and no further:
 *
 *   own      a write that the same server has acknowledged; 0: at once
 *   back     what the same server has shown before; 0: a server never goes back
 *   others   what any other server has acknowledged or shown
 *
 * A record whose time is over is no longer known to the server that had it: `others` then holds for its replacement of
 * older ones as well.
 *
 * A write of which it is not known whether it was applied may take effect at any time later. An older version is no
 * fault where the newer one may have expired before the older one was written, nor is an absent record that may have
 * expired or been deleted. Whatever the order of events, nothing is called a fault that has an innocent explanation.
 */

interface Timed {
  readonly server: number;
  readonly key: string;
  readonly beginMs: number;
  readonly endMs: number;
}

export interface WriteEvent extends Timed {
  readonly kind: 'write';
  /** In the record; of one write only. */
  readonly n: number;
  readonly ttlMs: number;
  /** `refused`: a larger version was held. `unknown`: it may be applied at any time from its begin. */
  readonly outcome: 'applied' | 'refused' | 'unknown';
  /** As the client gave it, or as it was answered; `undefined`: the server gave it and nobody knows it. */
  readonly version: number | undefined;
}

export interface DeleteEvent extends Timed {
  readonly kind: 'delete';
  readonly outcome: 'applied' | 'unknown';
}

export interface ReadEvent extends Timed {
  readonly kind: 'read';
  /** `undefined`: there is no record. */
  readonly found: Found | undefined;
}

export interface Found {
  readonly n: number;
  readonly version: number;
  /** Its features are those of one write. */
  readonly isWhole: boolean;
}

export type HistoryEvent = WriteEvent | DeleteEvent | ReadEvent;

export interface Bound {
  readonly ownMs: number;
  readonly backMs: number;
  readonly othersMs: number;
}

export const FAULTS = [
  'torn',
  'never-written',
  'wrong-version',
  'refused-but-served',
  'expired',
  'stale',
  'resurrected',
  'lost',
] as const;

export interface Fault {
  readonly kind: (typeof FAULTS)[number];
  readonly read: ReadEvent;
  readonly shown?: WriteEvent | undefined;
  /** What the read should have known, or what it shows. */
  readonly because?: WriteEvent | DeleteEvent;
  /** How long that had been known when the read began. */
  readonly lateMs?: number;
}

/** The test and the servers ask the same clock of the machine in different ways. */
const CLOCK_GRAIN_MS = 2;

type Change = WriteEvent | DeleteEvent;

interface Evidence {
  readonly server: number;
  readonly atMs: number;
  readonly isAcknowledgement: boolean;
}

/** The changes of one key. */
interface Key {
  readonly writes: readonly WriteEvent[];
  readonly deletes: readonly DeleteEvent[];
  readonly byNumber: ReadonlyMap<number, WriteEvent>;
  /** When it was known, first, by acknowledgement and by server, that a change had been made. */
  readonly evidence: ReadonlyMap<Change, readonly Evidence[]>;
}

/** Every fault of a history, of each read the first. */
export function findFaults(history: readonly HistoryEvent[], bound: Bound): Fault[] {
  const faults: Fault[] = [];
  for (const events of byKey(history)) {
    const reads = events.filter(event => event.kind === 'read').sort((a, b) => a.endMs - b.endMs);
    const key = keyOf(events, reads);
    for (const read of reads) {
      const fault =
        read.found === undefined ? absentFault(key, read, bound) : foundFault(key, read, read.found, bound);
      if (fault !== undefined) faults.push({ ...fault, shown: read.found && key.byNumber.get(read.found.n) });
    }
  }
  return faults;
}

function byKey(history: readonly HistoryEvent[]): Iterable<readonly HistoryEvent[]> {
  const keys = new Map<string, HistoryEvent[]>();
  for (const event of history) {
    const events = keys.get(event.key);
    if (events === undefined) keys.set(event.key, [event]);
    else events.push(event);
  }
  return keys.values();
}

function keyOf(events: readonly HistoryEvent[], reads: readonly ReadEvent[]): Key {
  const writes = events.filter(event => event.kind === 'write');
  const deletes = events.filter(event => event.kind === 'delete');
  const byNumber = new Map(writes.map(write => [write.n, write]));
  const evidence = new Map<Change, Evidence[]>();
  for (const change of [...writes, ...deletes]) {
    const { server, endMs, outcome } = change;
    evidence.set(change, outcome === 'applied' ? [{ server, atMs: endMs, isAcknowledgement: true }] : []);
  }
  for (const { server, endMs, found } of reads) {
    const shown = found && byNumber.get(found.n);
    const known = shown && evidence.get(shown);
    if (known?.every(one => one.server !== server || one.isAcknowledgement))
      known.push({ server, atMs: endMs, isAcknowledgement: false });
  }
  return { writes, deletes, byNumber, evidence };
}

function foundFault(key: Key, read: ReadEvent, found: Found, bound: Bound): Fault | undefined {
  const shown = key.byNumber.get(found.n);
  if (shown === undefined || shown.beginMs > read.endMs) return { kind: 'never-written', read };
  if (!found.isWhole) return { kind: 'torn', read, because: shown };
  if (shown.outcome === 'refused') return { kind: 'refused-but-served', read, because: shown };
  if (shown.version !== undefined && shown.version !== found.version)
    return { kind: 'wrong-version', read, because: shown };
  const expiredMs = read.beginMs - (settledMs(shown) + shown.ttlMs + CLOCK_GRAIN_MS);
  if (expiredMs > 0) return { kind: 'expired', read, because: shown, lateMs: expiredMs };
  for (const change of key.deletes) {
    const lateMs = knownForMs(key, change, read, bound);
    if (lateMs !== undefined && settledMs(shown) < change.beginMs)
      return { kind: 'resurrected', read, because: change, lateMs };
  }
  for (const change of key.writes) {
    if (change.version === undefined || change.version <= found.version) continue;
    const lateMs = knownForMs(key, change, read, bound);
    if (lateMs !== undefined && !mayHaveExpired(key, change, settledMs(shown)))
      return { kind: 'stale', read, because: change, lateMs };
  }
  return undefined;
}

function absentFault(key: Key, read: ReadEvent, bound: Bound): Fault | undefined {
  for (const change of key.writes) {
    if (change.version === undefined && change.outcome !== 'applied') continue;
    if (read.endMs >= change.beginMs + change.ttlMs - CLOCK_GRAIN_MS) continue;
    const lateMs = knownForMs(key, change, read, bound);
    if (lateMs === undefined) continue;
    const mayBeDeleted = key.deletes.some(
      one => settledMs(one) >= change.beginMs && one.beginMs <= read.endMs,
    );
    if (!mayBeDeleted && !mayHaveExpired(key, change, read.endMs))
      return { kind: 'lost', read, because: change, lateMs };
  }
  return undefined;
}

/** Since when, before the read began, the change had to be known to it; `undefined`: it had not. */
function knownForMs(key: Key, change: Change, read: ReadEvent, bound: Bound): number | undefined {
  let longest: number | undefined;
  const isOver = change.kind === 'write' && mayHaveExpired(key, change, read.endMs);
  for (const { server, atMs, isAcknowledgement } of key.evidence.get(change) ?? []) {
    const isOwn = server === read.server && !isOver;
    const allowedMs = !isOwn ? bound.othersMs : isAcknowledgement ? bound.ownMs : bound.backMs;
    const forMs = read.beginMs - atMs;
    if (forMs >= allowedMs && forMs > (longest ?? -1)) longest = forMs;
  }
  return longest;
}

/** Whether at that time the written record, or one that replaced it, may have been gone because its time was over. */
function mayHaveExpired({ writes }: Key, write: WriteEvent, atMs: number): boolean {
  return writes.some(({ outcome, version, beginMs, ttlMs }) => {
    if (outcome === 'refused') return false;
    const isAsNew = version === undefined || write.version === undefined || version >= write.version;
    return isAsNew && beginMs + ttlMs - CLOCK_GRAIN_MS <= atMs;
  });
}

/** Until when it may take effect. */
function settledMs({ outcome, endMs }: Change): number {
  return outcome === 'unknown' ? Number.POSITIVE_INFINITY : endMs;
}

/** How late reads were, of those that showed something older than had been acknowledged elsewhere: for the report. */
export function lags(history: readonly HistoryEvent[]): number[] {
  return findFaults(history, { ownMs: 0, backMs: 0, othersMs: 0 }).flatMap(({ lateMs }) => lateMs ?? []);
}

export function showFault({ kind, read, shown, because, lateMs }: Fault): string {
  const late = lateMs === undefined ? '' : `, ${Math.round(lateMs)} ms late`;
  return JSON.stringify({ fault: `${kind}${late}`, read, shown, because });
}
