/**
 * A lease as servers that share a store see it: a mark in the entry itself, where they all look, and a token for whoever
 * is to make it. With nothing to serve meanwhile, the entry is vacant: it has no times, so nobody takes it for one.
 *
 *     mark   {until}.{secret}      token  {version of the marked entry, base 36}.{secret}
 *
 * The entry is replaced only while it has that version, and only by whoever knows the secret: any write, deletion or
 * lease in between has given it another one.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { isVersion, type Version } from '../base/clock.js';
import type { RecordDraft } from '../views/record-draft.js';
import type { RecordReader } from '../views/record-reader.js';
import { ENTRY_FEATURES, type EntryReader, LEASE } from './entry.js';
import { LEASE_LIMITS } from './lease-room.js';

export interface LeaseMark {
  readonly untilMs: number;
  readonly secret: string;
}

export interface LeaseToken {
  readonly version: Version;
  readonly secret: string;
}

const SECRET_BYTES = 16;
const MARK = /^([0-9]{1,15})\.([\w-]{22})$/;
const TOKEN = /^([0-9a-z]{1,11})\.([\w-]{22})$/;
/** A mark that ends later is of a clock that is wrong, and must not keep others from the entry. */
const AHEAD_MS_MAX = 2 * LEASE_LIMITS.leaseMsMax;
const LEASE_POSITION = [...ENTRY_FEATURES.keys()].indexOf('lease');

export function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

export function markText({ untilMs, secret }: LeaseMark): string {
  return `${untilMs}.${secret}`;
}

export function readMark(text: string): LeaseMark | undefined {
  const [, until, secret] = MARK.exec(text) ?? [];
  return until === undefined || secret === undefined ? undefined : { untilMs: Number(until), secret };
}

/** Until when somebody has a lease on the entry; 0: nobody. */
export function leasedUntil({ lease }: Pick<EntryReader, 'lease'>, nowMs: number): number {
  const untilMs = readMark(lease)?.untilMs ?? 0;
  return untilMs - nowMs > AHEAD_MS_MAX ? 0 : untilMs;
}

export function tokenText({ version, secret }: LeaseToken): string {
  return `${version.toString(36)}.${secret}`;
}

export function readToken(text: string): LeaseToken | undefined {
  const [, digits, secret] = TOKEN.exec(text) ?? [];
  const version = Number.parseInt(digits ?? '', 36);
  return secret === undefined || !isVersion(version) ? undefined : { version, secret };
}

/** In a time that does not tell how much of them is the same. */
export function isSameSecret(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** Fills a draft that is empty: with the entry that is there, or as one that is vacant, and the mark. */
export function fillMarked(draft: RecordDraft, held: RecordReader | undefined, mark: LeaseMark): void {
  if (held !== undefined) copyTo(draft, held);
  draft.strings[LEASE] = markText(mark);
  draft.setPresent(LEASE_POSITION);
}

function copyTo(draft: RecordDraft, held: RecordReader): void {
  for (let position = 0; position < draft.view.columns.length; position++) {
    if (!held.isNull(position)) draft.setPresent(position);
  }
  const { strings, bytes, int64s } = draft;
  for (let index = 0; index < strings.length; index++) strings[index] = held.string(index) ?? '';
  for (let index = 0; index < bytes.length; index++) bytes[index] = held.bytes(index) ?? NO_BYTES;
  for (let index = 0; index < int64s.length; index++) int64s[index] = held.int64(index) ?? 0;
  draft.tags = held.tags();
}

const NO_BYTES = new Uint8Array(0);
