/** The body of `POST /v1/events`: one event or an array of them, of which only what the rules need is kept. */
import { HeadraceError } from '../../base/errors.js';
import type { JsonReader } from '../../base/json.js';
import { failDuplicate, skipValue } from '../../base/json-value.js';
import { EVENT_LIMITS } from './event-rules.js';
import type { Members } from './template.js';

export interface Event {
  /** `undefined`: it has none that could be one. */
  readonly type: string | undefined;
  readonly members: Members;
  /** Where it is in the body: '' for the whole of it, `[3]`. */
  readonly at: string;
}

const WANTED = 'a string, an integer or an array of these is wanted';
const INTEGER = /^-?\d+$/;

/**
 * Values are texts: strings as they are, integers of any size as they are written.
 * @param needed the members to keep; others may be anything.
 * @throws HeadraceError `bad-json`, `bad-event`.
 */
export function readEvents(reader: JsonReader, body: Uint8Array, needed: ReadonlySet<string>): Event[] {
  reader.open(body);
  const events: Event[] = [];
  const kind = reader.kind();
  if (kind === 'object') events.push(readEvent(reader, needed));
  else if (kind === 'array') {
    for (let more = reader.beginArray(); more; more = reader.nextElement()) {
      const found = reader.kind();
      if (found !== 'object') throw badEvent(reader.path(), `is of type ${found}; an event is an object`);
      if (events.length === EVENT_LIMITS.events)
        throw badEvent('the body', `has more than ${EVENT_LIMITS.events} events; split it`);
      events.push(readEvent(reader, needed));
    }
    if (events.length === 0) throw badEvent('the body', 'has no event');
  } else throw badEvent('the body', `is of type ${kind}; an event or an array of events is wanted`);
  reader.finish();
  return events;
}

function badEvent(at: string, detail: string): HeadraceError {
  return new HeadraceError('bad-event', `${at} ${detail}`, [{ at, detail }]);
}

function readEvent(reader: JsonReader, needed: ReadonlySet<string>): Event {
  const at = reader.path();
  const members = new Map<string, readonly string[] | string>();
  const seen = new Set<string>();
  let type: string | undefined;
  for (let more = reader.beginObject(); more; more = reader.nextMember()) {
    const start = reader.at;
    const key = reader.readKey();
    if (seen.has(key)) failDuplicate(reader, key, start);
    seen.add(key);
    if (key === 'type' && reader.kind() === 'string') {
      type = reader.readString();
      members.set(key, [type]);
    } else if (needed.has(key)) members.set(key, readValues(reader));
    else skipValue(reader);
  }
  return { type, members, at };
}

/** What is wrong, as a text, with what has none. */
function readValues(reader: JsonReader): readonly string[] | string {
  const kind = reader.kind();
  if (kind !== 'array') {
    const value = readScalar(reader);
    return value === undefined ? `is ${shownKind(kind)}; ${WANTED}` : [value];
  }
  const values: string[] = [];
  let isWrong = false;
  for (let more = reader.beginArray(); more; more = reader.nextElement()) {
    const value = readScalar(reader);
    if (value === undefined) isWrong = true;
    else values.push(value);
  }
  return isWrong ? 'has elements that are neither strings nor integers' : values;
}

/** `undefined`, and skipped, unless it is a string or an integer. */
function readScalar(reader: JsonReader): string | undefined {
  const kind = reader.kind();
  if (kind === 'string') return reader.readString();
  const start = reader.at;
  skipValue(reader);
  if (kind !== 'number') return undefined;
  const text = reader.text(start, reader.at);
  return INTEGER.test(text) ? text : undefined;
}

function shownKind(kind: string): string {
  return kind === 'number' ? 'no integer' : `of type ${kind}`;
}
