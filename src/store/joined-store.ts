/** A store as another thread has it: the shared memory itself, and the rest through the thread that opened it. */
import type { Clock } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import { isBuiltIn } from '../base/view-catalog.js';
import { entryViewName } from '../caches/entry-view.js';
import { TableReader } from '../l1/table-reader.js';
import { RecordStore } from '../lookup/record-store.js';
import { type View, viewOf } from '../views/schema.js';
import { closed, RemoteLanes } from './remote-lanes.js';
import { Store } from './store.js';
import type { StoreHandle, ToOwner, ToThread } from './thread-messages.js';

/** @throws HeadraceError `draining` when the store has been closed. */
export async function joinStore(handle: StoreHandle, clock: Clock): Promise<Store> {
  const { port, table, reader, definitions, events, deadlineMs, lineBytesMax } = handle;
  const lanes = new RemoteLanes(port, clock, handle.lanes, handle.callsMax);
  let views = new Map<string, View>();
  let isClosed = false;
  /** Nothing is read from then on: the thread's place in the table may be another's. */
  const end = () => {
    isClosed = true;
    lanes.close();
  };
  const known = (): ReadonlyMap<string, View> => {
    if (isClosed) throw closed();
    return views;
  };
  const joined = new Promise<void>((resolve, reject) => {
    port.on('message', (message: ToThread) => {
      if (message.kind === 'answers') return lanes.take(message.answers);
      if (message.kind === 'fences') views.set(message.view.name, viewOf(message.view));
      // One that is as it was stays the same object, by which selections are kept.
      else
        views = new Map(
          message.views.map(stored => [stored.name, sameOr(views.get(stored.name), viewOf(stored))]),
        );
      port.postMessage({ kind: 'seen', round: message.round } satisfies ToOwner);
      resolve();
    });
    port.on('close', () => {
      end();
      reject(closed());
    });
  });
  port.postMessage({ kind: 'join' } satisfies ToOwner);
  await joined;
  // Who only waits for the store's news does not keep the thread alive; a call does, by its deadline.
  port.unref();
  const records = new RecordStore({ table: new TableReader(table, reader), lanes, clock, deadlineMs });
  return new Store(
    {
      ...{ records, definitions, events, lineBytesMax },
      viewNamed: name => (isBuiltIn(name) ? undefined : known().get(name)),
      entryView: ({ name }) => known().get(entryViewName(name)),
      views: () => [...known().values()].filter(({ name }) => !isBuiltIn(name)),
      declare: async (name, definition) => (await lanes.change({ kind: 'declare', name, definition })) ?? 0,
      drop: async name => void (await lanes.change({ kind: 'drop', name })),
      fence: ({ name }, selector) => lanes.change({ kind: 'fence', cache: name, selector }),
    },
    {
      handle() {
        throw new HeadraceError('bad-request', 'handles are given by the thread that opened the store');
      },
      async close() {
        end();
        port.close();
      },
    },
  );
}

function sameOr(known: View | undefined, view: View): View {
  const isSame = known?.uid === view.uid && known.slot === view.slot && known.schema === view.schema;
  // Of one schema number, fences are only retired.
  return isSame && known.fences.length === view.fences.length ? known : view;
}
