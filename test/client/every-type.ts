/** A feature of each type, for views of tests. */
export const EVERY_TYPE = {
  rank: 'float32',
  score: 'float64',
  clicks: 'int64',
  isSpam: 'bool',
  title: 'string',
  hash: 'bytes',
  vector: 'float32[3]',
} as const;
