/** Batches of whole lines, whatever the chunks: nothing lost, nothing twice, numbers right, memory bounded. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { batchesOf } from '../../src/cli/line-batches.js';

async function* from(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

async function collect(chunks: readonly Uint8Array[], batchBytes: number, lineBytesMax: number) {
  const batches = [];
  for await (const batch of batchesOf(from(chunks), { batchBytes, lineBytesMax })) batches.push(batch);
  return batches;
}

const cuts = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 60 });

function cut(text: string, sizes: readonly number[]): Uint8Array[] {
  const bytes = Buffer.from(text);
  const chunks: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

describe('line batches', () => {
  it('keep every line once and know its number', async () => {
    const lines = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', ' ', 'é') }), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(lines, cuts, fc.integer({ min: 1, max: 30 }), async (all, sizes, batchBytes) => {
        const text = all.join('\n');
        const batches = await collect(cut(text, sizes), batchBytes, 10_000);
        expect(Buffer.concat(batches.map(batch => batch.bytes)).toString()).toBe(text);
        for (const { bytes, firstLine } of batches) {
          const first = Buffer.from(bytes).toString().split('\n')[0];
          expect(first).toBe(text.split('\n')[firstLine - 1]);
        }
      }),
    );
  });

  it('leave out a line that is too long, and go on after it', async () => {
    const text = `one\n${'x'.repeat(5000)}\nthree\nfour`;
    const batches = await collect(cut(text, [7]), 8, 100);
    expect(batches.flatMap(batch => batch.tooLong)).toEqual([2]);
    expect(Buffer.concat(batches.map(batch => batch.bytes)).toString()).toBe('one\nthree\nfour');
    const three = batches.find(batch => Buffer.from(batch.bytes).toString().startsWith('three'));
    expect(three?.firstLine).toBe(3);
  });

  it('report a last line that is too long', async () => {
    const batches = await collect(cut(`one\n${'x'.repeat(500)}`, [9]), 8, 100);
    expect(batches.flatMap(batch => batch.tooLong)).toEqual([2]);
  });

  it('end with the error of the stream where it breaks, and hand out no more', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('one\ntwo\nth');
      yield Buffer.from('ree\n');
      throw new Error('cut off');
    }
    const texts: string[] = [];
    const read = async () => {
      for await (const { bytes } of batchesOf(broken(), { batchBytes: 8, lineBytesMax: 1000 }))
        texts.push(Buffer.from(bytes).toString());
    };
    await expect(read()).rejects.toThrow('cut off');
    expect(texts).toEqual(['one\ntwo\n']);
  });
});
