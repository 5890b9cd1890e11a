/** What a view's features are in TypeScript. */
import type { FeatureType } from '../views/schema.js';

export type { FeatureType };

/** Names and types of a view's features, as declared. */
export type Features = Readonly<Record<string, FeatureType>>;

/** A feature's value as it is read. */
export type FeatureValue<T extends FeatureType> = T extends 'bool'
  ? boolean
  : T extends 'int64' | 'float32' | 'float64'
    ? number
    : T extends 'string'
      ? string
      : T extends 'bytes'
        ? Uint8Array
        : Float32Array;

/** A feature's value as it is written: an embedding may be any list of numbers. */
export type FeatureInput<T extends FeatureType> =
  FeatureValue<T> extends Float32Array ? Float32Array | readonly number[] : FeatureValue<T>;

/** The features of one record; null where it has none. */
export type FeatureRow<F extends Features> = { readonly [K in keyof F]: FeatureValue<F[K]> | null };

/** What is left out is null. */
export type FeatureRowInput<F extends Features> = {
  readonly [K in keyof F]?: FeatureInput<F[K]> | null | undefined;
};

/** The values of a whole column. Of null rows they are zeros, or empty. */
export type ColumnValues<T extends FeatureType> = T extends 'float32'
  ? Float32Array
  : T extends 'int64' | 'float64'
    ? Float64Array
    : T extends 'bool'
      ? Uint8Array
      : T extends 'string'
        ? readonly string[]
        : T extends 'bytes'
          ? readonly Uint8Array[]
          : Float32Array;
