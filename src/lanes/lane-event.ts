/** What happens to a lane that its operator, or the front, should know. */
import type { LaneNotice } from './messages.js';

export type LaneEvent = { readonly lane: number } & (
  | { readonly kind: 'down'; readonly reason: string }
  | { readonly kind: 'restarted' }
  | { readonly kind: 'backing-off'; readonly waitMs: number; readonly failures: number }
  /** A bug, or a thread that answered its start with an error. */
  | { readonly kind: 'failed'; readonly message: string }
  | LaneNotice
);
