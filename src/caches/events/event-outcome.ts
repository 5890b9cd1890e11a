/** What was planned of events is carried out: what is of one cache or view in turn, the rest beside each other. */
import type { Invalidation } from '../../views/fence.js';
import { invalidationsOf, type Planned } from './event-plan.js';

export interface EventTargets {
  /** How many entries there were, where that is known. */
  cache(name: string, what: Invalidation, type: string): Promise<number | null>;
  /** How many copies there were, none where there is no such view. */
  view(name: string, what: Invalidation, type: string): Promise<number>;
}

/** What one rule did: `{"event":"product.updated","cache":"results","tags":1,"invalidated":null}`. */
export type EventOutcome = Readonly<Record<string, unknown>> & {
  /** The type. */
  readonly event: string;
  /** How many entries or copies there were; `null`: that is not known. */
  readonly invalidated: number | null;
};

/**
 * Resolves when all of it has taken effect. One that fails holds back none of the others.
 * @throws what the first one of those failed with: some of it may have taken effect.
 */
export async function carryOut(
  planned: readonly Planned[],
  targets: EventTargets,
): Promise<readonly EventOutcome[]> {
  const turns = new Map<string, Promise<unknown>>();
  const outcomes = planned.map(one => {
    const { kind, name } = one.rule.target;
    const place = `${kind} ${name}`;
    const before = turns.get(place) ?? Promise.resolve();
    const outcome = before.then(() => outcomeOf(one, targets));
    turns.set(
      place,
      outcome.catch(() => undefined),
    );
    return outcome;
  });
  const settled = await Promise.allSettled(outcomes);
  for (const result of settled) if (result.status === 'rejected') throw result.reason;
  return Promise.all(outcomes);
}

async function outcomeOf(planned: Planned, targets: EventTargets): Promise<EventOutcome> {
  const { type, rule, texts } = planned;
  const { kind, name } = rule.target;
  let invalidated: number | null = 0;
  for (const what of invalidationsOf(planned)) {
    const count = await targets[kind](name, what, type);
    invalidated = invalidated === null || count === null ? null : invalidated + count;
  }
  const asked = rule.by === 'all' ? 1 : texts.size;
  return { event: type, [kind]: name, [rule.by]: asked, invalidated };
}
