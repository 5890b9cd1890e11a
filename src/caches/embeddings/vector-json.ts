/** Vectors as clients write and read them: arrays of JSON numbers, or float32s in little-endian bytes. */
import { JsonReader } from '../../base/json.js';
import { skipValue } from '../../base/json-value.js';
import { ProblemList } from '../../base/problem-list.js';
import type { JsonWriter } from '../../views/json-writer.js';

/**
 * Reads the array that the reader stands before. What is wrong is added to the problems, by its path; then the vector is
 * not to be used.
 */
export function readVector(reader: JsonReader, dimensions: number, problems: ProblemList): Float32Array {
  const vector = new Float32Array(dimensions);
  const pathOf = () => reader.path() || 'the body';
  const kind = reader.kind();
  if (kind !== 'array') {
    problems.add(pathOf(), `is of type ${kind}; an array of ${dimensions} numbers is wanted`);
    skipValue(reader);
    return vector;
  }
  let count = 0;
  for (let more = reader.beginArray(); more; more = reader.nextElement()) {
    const elementKind = reader.kind();
    if (elementKind === 'number') {
      const value = reader.readFloat32();
      if (!Number.isFinite(value)) problems.add(reader.path(), 'is beyond the range of float32');
      else if (count < dimensions) vector[count] = value;
    } else {
      problems.add(reader.path(), `is of type ${elementKind}; a number is wanted`);
      skipValue(reader);
    }
    count++;
  }
  if (count !== dimensions) problems.add(pathOf(), `has ${count} numbers; ${dimensions} are wanted`);
  return vector;
}

/** A body that is one array of numbers. @throws HeadraceError `bad-json`, `invalid-vector` that names what is wrong. */
export function vectorOfJson(body: Uint8Array, dimensions: number): Float32Array {
  const problems = new ProblemList();
  const reader = new JsonReader().open(body);
  const vector = readVector(reader, dimensions, problems);
  reader.finish();
  problems.throwIfAny('invalid-vector');
  return vector;
}

/** A body of little-endian float32s. @throws HeadraceError `invalid-vector` that names what is wrong. */
export function vectorOfBytes(body: Uint8Array, dimensions: number): Float32Array {
  const problems = new ProblemList();
  const vector = new Float32Array(dimensions);
  if (body.length !== 4 * dimensions) {
    const wanted = `${dimensions} float32 have ${4 * dimensions}`;
    problems.add('the body', `has ${body.length} bytes; ${wanted}`);
  } else {
    const data = new DataView(body.buffer, body.byteOffset, body.length);
    for (let n = 0; n < dimensions; n++) {
      vector[n] = data.getFloat32(4 * n, true);
      if (!Number.isFinite(vector[n])) problems.add(`[${n}]`, 'is not a finite number');
    }
  }
  problems.throwIfAny('invalid-vector');
  return vector;
}

export function writeVector(
  writer: JsonWriter,
  { buffer, byteOffset, byteLength, length }: Float32Array,
): void {
  writer.float32s(new DataView(buffer, byteOffset, byteLength), 0, length);
}
