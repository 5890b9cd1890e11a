/** Every failpoint of a write, by name; those of a repair behind those that leave something to repair. */
export const CRASH_FAILPOINTS = [
  'append-partial',
  'appended',
  'odd',
  'repair-emptied',
  'slot-changed',
  'repair-evened',
  'before-even',
  'repair-counted',
  'segment-taken',
  'reclaim-begun',
  'reclaim-copied',
  'reclaim-record',
  'reclaim-emptied',
] as const;
