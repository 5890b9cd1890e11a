/** lmdb's buffers of instructions are memory that V8 counts. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';

/** Of 64 KiB each: so many records fill some. */
const RECORDS = 5000;

/** Counts the SharedArrayBuffers made in a thread that loads `specifier` and writes with its `open`. */
function sharedBuffersMade(specifier: string): Promise<number> {
  const path = mkdtempSync(join(tmpdir(), 'headrace-lmdb-module-'));
  const code = `
    const { parentPort } = require('node:worker_threads');
    let made = 0;
    const Real = SharedArrayBuffer;
    globalThis.SharedArrayBuffer = class extends Real { constructor(...of) { super(...of); made++; } };
    import(${JSON.stringify(specifier)}).then(async ({ open }) => {
      const store = open({ path: ${JSON.stringify(path)}, encoding: 'binary' });
      let last;
      for (let record = 0; record < ${RECORDS}; record++) last = store.put('record ' + record, Buffer.alloc(100));
      await last;
      await store.close();
      parentPort.postMessage(made);
    });`;
  return new Promise((resolve, reject) => {
    const worker = new Worker(code, { eval: true });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

it('makes no shared buffers while it writes', async () => {
  const ours = new URL('../../src/tiers/lmdb-module.js', import.meta.url).href;
  expect(await sharedBuffersMade(ours)).toBe(0);
});

it('would make them if it were loaded as it is: else there is nothing to work around any more', async () => {
  const theirs = import.meta.resolve('lmdb');
  expect(await sharedBuffersMade(theirs)).toBeGreaterThan(0);
});
