/** Whether a cache learns which keys follow which, and fetches them ahead: what the configuration file says of it. */
import * as z from 'zod';

export interface PrefetchDefinition {
  /** Keys a second that are fetched ahead, at most. */
  readonly rate: number;
  /** Keys whose followers are known, at most. */
  readonly keysMax: number;
}

const STANDARD: PrefetchDefinition = { rate: 50, keysMax: 8_192 };

/** In the configuration file. */
export const PREFETCH = z
  .strictObject({
    rate: z.int().min(1).max(10_000).optional(),
    keysMax: z.int().min(64).max(262_144).optional(),
  })
  .transform(
    ({ rate, keysMax }): PrefetchDefinition => ({
      rate: rate ?? STANDARD.rate,
      keysMax: keysMax ?? STANDARD.keysMax,
    }),
  );
