/**
 * Misses of a few milliseconds, asked of a batch endpoint in one POST:
 *
 *   {"keys":["a","b","c"]} ─► {"values":{"a":[0.5,1]},"errors":{"b":"no such text"}}
 *
 *   a is answered, b has failed, c has failed too: it was left out
 *
 * A batch goes when its window is over, or when it has the keys or the bytes of a full one. It is waited for as long as
 * the most patient of those who ask; each of them hears at its own deadline. Who asks for a key that is in the batch
 * already joins it.
 */
import type { Clock } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import { TierRefusal } from '../base/tier.js';
import { type BatchItem, parseBatchReply } from './origin-batch-reply.js';
import type { OriginExchange, OriginReply } from './origin-exchange.js';
import { type OriginValue, valueOfItem } from './origin-value.js';

export interface BatchOptions {
  /** How long a batch waits for more keys. */
  readonly windowMs: number;
  readonly keysMax: number;
  /** Of the keys as JSON; a key that has more goes alone. */
  readonly bytesMax: number;
}

export const BATCH_DEFAULTS: BatchOptions = { windowMs: 2, keysMax: 100, bytesMax: 65_536 };

interface Asker {
  readonly deadlineMs: number;
  readonly resolve: (value: OriginValue | undefined) => void;
  readonly reject: (error: unknown) => void;
}

interface Batch {
  readonly askers: Map<string, Asker[]>;
  readonly texts: string[];
  readonly timer: NodeJS.Timeout;
  bytes: number;
}

export interface BatcherParts {
  readonly exchange: OriginExchange;
  readonly path: string;
  readonly clock: Clock;
  readonly options: BatchOptions;
}

const TIMER_MS_MAX = 2 ** 31 - 1;

export class OriginBatcher {
  readonly #parts: BatcherParts;
  #open: Batch | undefined;
  /** Batches sent. */
  batches = 0;

  constructor(parts: BatcherParts) {
    this.#parts = parts;
  }

  fetch(key: string, deadlineMs: number): Promise<OriginValue | undefined> {
    const leftMs = deadlineMs - this.#parts.clock.now();
    const late = new HeadraceError('deadline', 'the deadline passed before the origin answered');
    if (leftMs <= 0) return Promise.reject(late);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(late), Math.min(leftMs, TIMER_MS_MAX));
      this.#add(key, {
        deadlineMs,
        resolve: value => {
          clearTimeout(timer);
          resolve(value);
        },
        reject: error => {
          clearTimeout(timer);
          reject(error);
        },
      });
    });
  }

  /** Those who wait for a batch that has not gone yet hear that it will not. */
  close(): void {
    const batch = this.#take();
    if (batch !== undefined) fail(batch, new HeadraceError('unavailable', 'the origin is closed'));
  }

  #add(key: string, asker: Asker): void {
    const { windowMs, keysMax, bytesMax } = this.#parts.options;
    const joined = this.#open?.askers.get(key);
    if (joined !== undefined) {
      joined.push(asker);
      return;
    }
    const text = JSON.stringify(key);
    const bytes = Buffer.byteLength(text) + 1;
    if (this.#open !== undefined && this.#open.bytes + bytes > bytesMax) this.#flush();
    this.#open ??= {
      askers: new Map(),
      texts: [],
      timer: setTimeout(() => this.#flush(), windowMs),
      bytes: 0,
    };
    this.#open.askers.set(key, [asker]);
    this.#open.texts.push(text);
    this.#open.bytes += bytes;
    if (this.#open.texts.length === keysMax) this.#flush();
  }

  #take(): Batch | undefined {
    const batch = this.#open;
    clearTimeout(batch?.timer);
    this.#open = undefined;
    return batch;
  }

  #flush(): void {
    const batch = this.#take();
    if (batch === undefined) return;
    this.batches++;
    this.#ask(batch).then(
      reply => answer(batch, reply),
      error => fail(batch, error),
    );
  }

  async #ask({ askers, texts }: Batch): Promise<BatchReply> {
    const { exchange, path } = this.#parts;
    const deadlineMs = [...askers.values()]
      .flat()
      .reduce((latest, asker) => Math.max(latest, asker.deadlineMs), 0);
    const reply = await exchange.ask({ path, body: `{"keys":[${texts.join(',')}]}` }, deadlineMs);
    if (reply === undefined)
      throw new TierRefusal('the origin has no batch endpoint at the path it was asked at');
    return { reply, items: parseBatchReply(reply.body, key => askers.has(key)) };
  }
}

interface BatchReply {
  readonly reply: OriginReply;
  readonly items: ReadonlyMap<string, BatchItem>;
}

function answer({ askers }: Batch, { reply, items }: BatchReply): void {
  for (const [key, waiting] of askers) {
    const item = items.get(key) ?? (items.has(key) ? null : new TierRefusal('the origin left the key out'));
    for (const asker of waiting) {
      if (item instanceof TierRefusal) asker.reject(item);
      else asker.resolve(item === null ? undefined : valueOfItem(item, reply.headers));
    }
  }
}

function fail({ askers }: Batch, error: unknown): void {
  for (const asker of [...askers.values()].flat()) asker.reject(error);
}
