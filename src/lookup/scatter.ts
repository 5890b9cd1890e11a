/** The inner loop of lookups: one record's floats to their columns. */

/** Every column's word for one row, four at a time: two thirds of the time of one at a time, measured. */
export function scatter(
  from: Int32Array,
  first: number,
  indexes: Int32Array,
  to: Int32Array,
  columnsAt: Int32Array,
  row: number,
): void {
  let n = 0;
  for (const whole = indexes.length & ~3; n < whole; n += 4) {
    to[columnsAt[n]! + row] = from[first + indexes[n]!]!;
    to[columnsAt[n + 1]! + row] = from[first + indexes[n + 1]!]!;
    to[columnsAt[n + 2]! + row] = from[first + indexes[n + 2]!]!;
    to[columnsAt[n + 3]! + row] = from[first + indexes[n + 3]!]!;
  }
  for (; n < indexes.length; n++) to[columnsAt[n]! + row] = from[first + indexes[n]!]!;
}
