/** Events: what has changed elsewhere, of which the server's configuration knows what it invalidates. */
import type { EventOutcome } from '../caches/events/event-outcome.js';
import { asObject, listOf, member, memberOrNull, objectOf } from './json-answer.js';
import type { CallOptions, Transport } from './transport.js';

/** Members that the rules of its type name are strings, integers or arrays of these; others may be anything. */
export type HeadraceEvent = { readonly type: string } & Readonly<Record<string, unknown>>;

/** Sent again when it fails: what is gone already is not gone twice. */
export async function sendEvents(
  transport: Transport,
  events: HeadraceEvent | readonly HeadraceEvent[],
  options: CallOptions,
): Promise<EventOutcome[]> {
  const answer = await transport.send({
    ...options,
    method: 'POST',
    path: '/v1/events',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(events),
    repeat: 'safe',
  });
  return listOf(objectOf(answer), 'invalidated').map(given => {
    const outcome = asObject(given, 'what a rule did');
    const event = member(outcome, 'event', 'string');
    return { ...outcome, event, invalidated: memberOrNull(outcome, 'invalidated', 'number') };
  });
}
