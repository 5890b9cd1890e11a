/** Results of searches as a frontend caches them: JSON whose hits are documents of the example, drawn at random. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import type { Random } from './random.js';

const EXAMPLES = fileURLToPath(new URL('../../../examples/debian-packages.ndjson.gz', import.meta.url));

export class Results {
  readonly #documents: readonly object[];
  readonly #random: Random;

  constructor(random: Random) {
    const lines = gunzipSync(readFileSync(EXAMPLES)).toString().trimEnd().split('\n');
    this.#documents = lines.map(line => JSON.parse(line) as object);
    this.#random = random;
  }

  /** So many bytes, and those of part of a hit. */
  next(bytes: number): Uint8Array {
    const random = this.#random;
    const hits: object[] = [];
    for (let size = 80; size < bytes; ) {
      const document = this.#documents[random.below(this.#documents.length)];
      const hit = { score: Math.fround(20 * random.next()), ...document };
      hits.push(hit);
      size += JSON.stringify(hit).length + 1;
    }
    return Buffer.from(JSON.stringify({ total: random.below(9_999), tookMs: random.below(99), hits }));
  }
}
