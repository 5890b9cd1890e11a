/** Packs the writes of one turn into one task: bodies copied into one buffer, chunks handed over as they are. */
import type { WriteCall } from './call.js';
import type { PutEntryOp, PutOp, WriteOp, WriteTask } from './messages.js';

const NO_BYTES = new Uint8Array(0);

export function writeTaskOf(calls: readonly WriteCall[]): { task: WriteTask; transfer: ArrayBuffer[] } {
  let size = 0;
  for (const { request } of calls) size += request.body?.byteLength ?? 0;
  const bodies = size === 0 ? NO_BYTES : new Uint8Array(size);
  const transfer = size === 0 ? [] : [bodies.buffer as ArrayBuffer];
  let at = 0;
  const ops = calls.map(({ request: { op, body } }): WriteOp => {
    if (op.kind === 'ingest') {
      const { chunk, lineNumbers } = op;
      if (ownsBuffer(chunk)) transfer.push(chunk.buffer as ArrayBuffer);
      if (ownsBuffer(lineNumbers)) transfer.push(lineNumbers.buffer as ArrayBuffer);
      return op;
    }
    if (op.kind === 'remove') return op;
    const start = at;
    if (body !== undefined) bodies.set(body, at);
    at += body?.byteLength ?? 0;
    return { ...op, start, end: at } satisfies PutOp | PutEntryOp;
  });
  return { task: { kind: 'write', ops, bodies }, transfer };
}

/** Only what fills its buffer is handed over: other views of it would lose their bytes. */
function ownsBuffer(view: Uint8Array | Uint32Array): boolean {
  return view.byteLength > 0 && view.byteLength === view.buffer.byteLength;
}
