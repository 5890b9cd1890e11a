/** What a thread that joined sends to the one that opened the store. */
import { once } from 'node:events';
import { MessageChannel } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { RemoteLanes } from '../../src/store/remote-lanes.js';
import type { ToOwner } from '../../src/store/thread-messages.js';
import { viewOf } from '../../src/views/schema.js';
import { VIEW } from '../resolve/fixture.js';

it('is of a part of a buffer that part alone', async () => {
  const { port1, port2 } = new MessageChannel();
  const lanes = new RemoteLanes(port1, systemClock, 1, 10);
  const view = viewOf(VIEW);
  const deadlineMs = systemClock.now() + 60_000;
  const head = {
    contentType: 'text/plain',
    tags: [],
    freshMs: 1,
    staleWhileRevalidateMs: 0,
    staleIfErrorMs: 0,
  };
  const answers = Promise.allSettled(
    [new ArrayBuffer(1 << 20), new SharedArrayBuffer(1 << 20)].flatMap(buffer => {
      const part = new Uint8Array(buffer, 8, 3).fill(7);
      return [
        lanes.write(0, view, 'a', part, deadlineMs),
        lanes.writeEntry(0, view, 'a', head, part, deadlineMs),
      ];
    }),
  );
  const [message] = (await once(port2, 'message')) as [Extract<ToOwner, { kind: 'calls' }>];
  const sent = message.calls.map(({ request }) =>
    request.kind === 'write' ? request.body : request.kind === 'write-entry' ? request.payload : undefined,
  );
  expect(sent.map(bytes => [bytes, bytes?.buffer instanceof ArrayBuffer, bytes?.buffer.byteLength])).toEqual(
    Array(4).fill([Uint8Array.of(7, 7, 7), true, 3]),
  );
  lanes.close();
  expect((await answers).map(({ status }) => status)).toEqual(Array(4).fill('rejected'));
  port1.close();
});
