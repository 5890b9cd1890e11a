/**
 * What `gather.ts` is told and what it knows of records, in numbers that two compilers read: plain literals. The record's
 * are those of `views/record-layout.ts`, which `column-gatherer.ts` compares them with.
 */

/** Of a plan, in words. */
export const PLAN_COLUMNS = 0;
export const PLAN_INDEX_MAX = 1;
/** Byte addresses of the answer's first status and version. */
export const PLAN_STATUSES_AT = 2;
export const PLAN_VERSIONS_AT = 3;
/** From here on two words a column: the byte address of its first row, and its place in the record's vector. */
export const PLAN_COLUMNS_AT = 4;

/** A row of the reader's has words to spare: here the byte address of its record's first float32, or 0. */
export const ROW_FLOATS_AT = 9;

/** Of a record, in bytes. */
export const RECORD_TABLE_AT = 12;
export const RECORD_VERSION_AT = 16;
/** Of its vtable, by number. */
export const FIELD_TOMBSTONE = 5;
export const FIELD_NULLS = 6;
export const FIELD_FLOAT32S = 7;
