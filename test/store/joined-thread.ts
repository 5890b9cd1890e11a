/** A thread that joins a store and does what it is told. */
import { parentPort, workerData } from 'node:worker_threads';
import { HeadraceError, type HeadraceEvent, open, type StoreHandle } from '../../src/index.js';
import { DOCS, OTHER_DOCS } from './joined-views.js';

export type Order =
  | { readonly kind: 'read'; readonly id: string; readonly isSync: boolean }
  | { readonly kind: 'read-entry'; readonly key: string; readonly isSync: boolean }
  | { readonly kind: 'write' | 'write-entry' | 'delete'; readonly id: string; readonly text: string }
  | { readonly kind: 'write-tagged'; readonly keys: readonly string[]; readonly tag: string }
  | { readonly kind: 'invalidate'; readonly what: Parameters<typeof results.invalidate>[0] }
  | { readonly kind: 'event'; readonly event: HeadraceEvent }
  /** The keys whose entries are there: of memory alone, and asked for. */
  | { readonly kind: 'there'; readonly keys: readonly string[] }
  | { readonly kind: 'load'; readonly from: number; readonly count: number }
  | { readonly kind: 'many'; readonly count: number }
  | { readonly kind: 'declare-other' | 'drop' | 'views' | 'handle' | 'close' }
  | { readonly kind: 'block'; readonly ms: number }
  /** Reads without a pause whatever the view is at each moment: what it saw that was of no view. */
  | { readonly kind: 'race'; readonly until: SharedArrayBuffer };

const { handle } = workerData as { readonly handle: StoreHandle };
const store = await open({ join: handle });
const docs = store.view('docs', DOCS);
const results = store.cache('results');

async function obey(order: Order): Promise<unknown> {
  switch (order.kind) {
    case 'read':
      return (order.isSync ? docs.getSync(order.id) : await docs.get(order.id))?.features.title;
    case 'read-entry':
      return (order.isSync ? results.getSync(order.key) : await results.get(order.key))?.text();
    case 'write':
      return (await docs.put(order.id, { title: order.text })).applied;
    case 'write-entry':
      return results.put(order.id, order.text);
    case 'write-tagged':
      return Promise.all(order.keys.map(key => results.put(key, key, { tags: [order.tag] })));
    case 'invalidate':
      return results.invalidate(order.what);
    case 'event':
      return store.event(order.event);
    case 'there': {
      const inMemory = order.keys.filter(key => results.getSync(key) !== undefined);
      const entries = await results.batchGet(order.keys);
      return { inMemory, asked: order.keys.filter((_, n) => entries[n] !== undefined) };
    }
    case 'delete':
      return docs.delete(order.id);
    case 'load': {
      const ids = Array.from({ length: order.count }, (_, n) => `n${order.from + n}`);
      return (await docs.load(ids.map(id => ({ id, features: { title: id } })))).applied;
    }
    case 'many': {
      const ids = Array.from({ length: order.count }, (_, n) => `n${n}`);
      const rows = await docs.getMany(ids, { features: ['title'] });
      return rows.filter((row, n) => row.status === 'PRESENT' && row.features.title === `n${n}`).length;
    }
    case 'declare-other':
      return store.view('others', OTHER_DOCS).declare();
    case 'drop':
      return store.view('others', OTHER_DOCS).drop();
    case 'views':
      return store.views().map(({ view }) => view);
    case 'handle':
      return store.handle();
    case 'close':
      return store.close();
    case 'block':
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, order.ms);
      return 'blocked';
    case 'race':
      return race(new Int32Array(order.until));
  }
}

/** Views come and go in one place of shared memory: a record of one must never be read as one of the next. */
async function race(
  until: Int32Array,
): Promise<{ readonly reads: number; readonly wrong: readonly unknown[] }> {
  const wrong: unknown[] = [];
  let reads = 0;
  while (Atomics.load(until, 0) === 0) {
    for (let n = 0; n < 200; n++) {
      for (const { view } of store.views()) {
        if (!view.startsWith('race')) continue;
        const record = store.view(view).getSync('a');
        if (record === undefined) continue;
        reads++;
        const value = Object.entries(record.features)[0];
        if (`${value?.[0]}=${value?.[1]}` !== `${view}=${view}`) wrong.push([view, value]);
      }
    }
    await new Promise(resolve => setImmediate(resolve));
  }
  return { reads, wrong };
}

parentPort?.on('message', ({ number, order }: { number: number; order: Order }) => {
  obey(order).then(
    result => parentPort?.postMessage({ number, result }),
    (error: unknown) =>
      parentPort?.postMessage({ number, error: error instanceof HeadraceError ? error.code : String(error) }),
  );
});
parentPort?.postMessage('joined');
