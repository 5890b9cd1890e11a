/**
 * Who may write a lane's shards: one thread, or nobody.
 *
 * A lane is claimed by compare-exchange with a token that was never given before. It is released by whoever started the
 * writing thread, and only once that thread has exited: a thread that dies cannot release it halfway, and its successor
 * cannot start a moment too early.
 */
import { assert } from '../base/assert.js';
import { HEADER, type TableHandle, TableView } from './layout.js';

declare const claimBrand: unique symbol;
export type LaneClaim = number & { readonly [claimBrand]: true };

/** A claim to the lane, or `undefined` when another thread has it. */
export function claimLane(handle: TableHandle, lane: number): LaneClaim | undefined {
  const view = new TableView(handle);
  const token = 1 + (Atomics.add(view.words, HEADER.claims, 1) & 0x3fff_ffff);
  return Atomics.compareExchange(view.words, ownerAt(view, lane), 0, token) === 0
    ? (token as LaneClaim)
    : undefined;
}

/** For the thread that started the lane's writer, after that has exited. */
export function releaseLane(handle: TableHandle, lane: number): void {
  const view = new TableView(handle);
  Atomics.store(view.words, ownerAt(view, lane), 0);
}

export function holdsLane(view: TableView, lane: number, claim: LaneClaim): boolean {
  return Atomics.load(view.words, ownerAt(view, lane)) === claim;
}

function ownerAt(view: TableView, lane: number): number {
  assert(lane >= 0 && lane < view.shape.lanes, `there is no lane ${lane}`);
  return HEADER.owners + lane;
}
