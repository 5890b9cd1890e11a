/**
 * From records to columns: the inner loop of lookups. AssemblyScript, compiled to WebAssembly by `npm run build`, called
 * by `column-gatherer.ts`; it works on the rows and values that `l1/wasm/reader.ts` has just left in its scratch.
 *
 * A record is the FlatBuffer that `views/record-layout.ts` draws. Nothing in it is trusted but its length: what does not
 * lie within it, or has nulls, or is no record of these features, is left to `RecordReader`.
 *
 * Four rows go together, so that a column takes 16 bytes at once. In a running server, 500 records × 50 columns, by V8's
 * profiler: 8 µs a lookup, 46 µs for the loop in JavaScript, row by row.
 */
import { ROW_LENGTH, ROW_VALUE_AT, ROW_WORDS } from '../../l1/wasm/words';
import {
  FIELD_FLOAT32S,
  FIELD_NULLS,
  FIELD_TOMBSTONE,
  PLAN_COLUMNS,
  PLAN_COLUMNS_AT,
  PLAN_INDEX_MAX,
  PLAN_STATUSES_AT,
  PLAN_VERSIONS_AT,
  RECORD_TABLE_AT,
  RECORD_VERSION_AT,
  ROW_FLOATS_AT,
} from './plan';

const TOGETHER: u32 = 4;

/**
 * Gathers the first `count` rows of the reader's into rows `first` and on of the answer, whose columns the plan names:
 * a bit for each row that it did. `rows` and `plan` are byte addresses.
 */
export function gather(rows: usize, count: u32, plan: usize, first: u32): u32 {
  const indexMax = load<u32>(plan, PLAN_INDEX_MAX * 4);
  let done: u32 = 0;
  for (let index: u32 = 0; index < count; index++) {
    const row = rows + ((<usize>index * ROW_WORDS) << 2);
    const length = load<i32>(row, ROW_LENGTH * 4);
    const record = (<usize>load<u32>(row, ROW_VALUE_AT * 4)) << 2;
    const floats: usize = length < 0 ? <usize>0 : floatsOf(record, record + length, indexMax);
    store<u32>(row, <u32>floats, ROW_FLOATS_AT * 4);
    if (floats === 0) continue;
    done |= 1 << index;
    const statuses = <usize>load<u32>(plan, PLAN_STATUSES_AT * 4);
    const versions = <usize>load<u32>(plan, PLAN_VERSIONS_AT * 4);
    store<u8>(statuses + first + index, 0);
    store<u64>(versions + ((<usize>first + index) << 3), load<u64>(record, RECORD_VERSION_AT));
  }
  for (let index: u32 = 0; index < count; index += TOGETHER) {
    const four = (done >> index) & 0xf;
    const row = rows + ((<usize>index * ROW_WORDS) << 2);
    if (four === 0xf) gatherFour(row, plan, first + index);
    else if (four !== 0) gatherEach(row, four, plan, first + index);
  }
  return done;
}

function gatherFour(row: usize, plan: usize, first: u32): void {
  const a = floatsIn(row);
  const b = floatsIn(row + ROW_WORDS * 4);
  const c = floatsIn(row + ROW_WORDS * 8);
  const d = floatsIn(row + ROW_WORDS * 12);
  const end = plan + ((<usize>(PLAN_COLUMNS_AT + 2 * load<u32>(plan, PLAN_COLUMNS * 4))) << 2);
  for (let column = plan + PLAN_COLUMNS_AT * 4; column < end; column += 8) {
    const to = <usize>load<u32>(column) + ((<usize>first) << 2);
    const index = (<usize>load<u32>(column, 4)) << 2;
    store<u32>(to, load<u32>(a + index));
    store<u32>(to, load<u32>(b + index), 4);
    store<u32>(to, load<u32>(c + index), 8);
    store<u32>(to, load<u32>(d + index), 12);
  }
}

function gatherEach(row: usize, four: u32, plan: usize, first: u32): void {
  const end = plan + ((<usize>(PLAN_COLUMNS_AT + 2 * load<u32>(plan, PLAN_COLUMNS * 4))) << 2);
  for (let left = four; left !== 0; left &= left - 1) {
    const index: usize = ctz(left);
    const floats = floatsIn(row + ((index * ROW_WORDS) << 2));
    for (let column = plan + PLAN_COLUMNS_AT * 4; column < end; column += 8) {
      const to = <usize>load<u32>(column) + ((<usize>first + index) << 2);
      store<u32>(to, load<u32>(floats + ((<usize>load<u32>(column, 4)) << 2)));
    }
  }
}

function floatsIn(row: usize): usize {
  return <usize>load<u32>(row, ROW_FLOATS_AT * 4);
}

/** Where the float32s of a live record without nulls begin, when it has more than `indexMax` of them; else 0. */
function floatsOf(record: usize, end: usize, indexMax: u32): usize {
  const table = record + RECORD_TABLE_AT;
  if (table + 4 > end) return 0;
  const vtable = table - load<i32>(table);
  if (vtable < record || vtable + 4 > end) return 0;
  const vtableEnd = vtable + load<u16>(vtable);
  if (vtableEnd > end || vtableEnd <= vtable + 4 + 2 * FIELD_FLOAT32S) return 0;
  if (load<u16>(vtable + 4 + 2 * FIELD_TOMBSTONE) !== 0) return 0;
  if (load<u16>(vtable + 4 + 2 * FIELD_NULLS) !== 0) return 0;
  const place = load<u16>(vtable + 4 + 2 * FIELD_FLOAT32S);
  if (place === 0 || table + place + 4 > end) return 0;
  const vector = table + place + load<u32>(table + place);
  if ((vector & 3) !== 0 || vector < record || vector + 4 > end) return 0;
  const elements = load<u32>(vector);
  return elements > indexMax && <usize>elements <= (end - vector - 4) >> 2 ? vector + 4 : 0;
}
