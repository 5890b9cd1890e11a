/** The stages of a request: what is timed, in the server, in the benches and in reports. */

/** A request's stages, in order; closed, so that reports of different runs can be laid side by side. */
export const STAGES = [
  'parse',
  'authorise',
  'l1',
  'queue',
  'l2',
  'l3',
  'record',
  'origin',
  'encode',
  'write',
  'total',
] as const;
export type Stage = (typeof STAGES)[number];
