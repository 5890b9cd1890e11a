/** What the front counts of its lanes. */
export interface LaneFigures {
  readonly lane: number;
  readonly isUp: boolean;
  readonly ops: number;
  readonly bytes: number;
  readonly tasks: number;
  readonly restarts: number;
  readonly retried: number;
  readonly refused: number;
}

export interface LanesFigures {
  readonly lanes: readonly LaneFigures[];
  /** Calls whose deadline passed. */
  readonly late: number;
}
