/** The two encodings of records and lookups, as cases of a scenario. */
export const FLATBUFFERS = 'application/vnd.headrace.flatbuffers';

export const ENCODINGS = [
  { name: 'flatbuffers', accept: FLATBUFFERS },
  { name: 'json', accept: 'application/json' },
] as const;
