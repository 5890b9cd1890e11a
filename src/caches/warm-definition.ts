/** A cache's list of keys that are to be in memory before they are asked for: what the configuration file says of it. */
import { basename } from 'node:path';
import * as z from 'zod';
import { formatDuration } from '../base/duration.js';
import { duration } from '../base/zod-json.js';

export interface WarmDefinition {
  /** One of the two. */
  readonly file: string | undefined;
  /** Of the cache's origin, by whose rules it is asked. */
  readonly url: string | undefined;
  readonly everyMs: number;
  /** Keys a second, of all lanes together. */
  readonly rate: number;
  /** Keys of the list, from its beginning. */
  readonly keysMax: number;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;
const PATH_LENGTH_MAX = 4_096;

const STANDARD: Pick<WarmDefinition, 'everyMs' | 'rate' | 'keysMax'> = {
  everyMs: 5 * MINUTE,
  rate: 100,
  keysMax: 10_000,
};

/** In the configuration file. */
export const WARM = z
  .strictObject({
    file: z.string().min(1).max(PATH_LENGTH_MAX).optional(),
    url: z.string().optional(),
    every: duration(SECOND, DAY).optional(),
    rate: z.int().min(1).max(100_000).optional(),
    keysMax: z.int().min(1).max(1_000_000).optional(),
  })
  .superRefine(({ file, url }, context) => {
    if ((file === undefined) === (url === undefined))
      context.addIssue({ code: 'custom', message: 'needs a file or a url, and not both' });
  })
  .transform(
    ({ file, url, every, rate, keysMax }): WarmDefinition => ({
      ...{ file, url },
      everyMs: every ?? STANDARD.everyMs,
      rate: rate ?? STANDARD.rate,
      keysMax: keysMax ?? STANDARD.keysMax,
    }),
  );

/** As the file has it, with all that it leaves open. */
export function warmJson({ file, url, everyMs, rate, keysMax }: WarmDefinition) {
  return {
    ...(file === undefined ? {} : { file }),
    ...(url === undefined ? {} : { url }),
    every: formatDuration(everyMs),
    rate,
    keysMax,
  };
}

/** For clients, who need not know where files lie, nor what the query has: it may be a secret. */
export function withoutPlaces(warm: WarmDefinition): WarmDefinition {
  const { file, url } = warm;
  return { ...warm, file: file && basename(file), url: url?.replace(/\?.*$/s, '?…') };
}
