/** `headrace/client`: the feature store and the named caches of a headrace server, typed. */
import { HeadraceClient } from './client.js';
import type { ClientOptions } from './client-options.js';

export { canonicalKey } from '../caches/canonical-key.js';
export { formKey, KEY_FORMS } from '../caches/canonical-key-forms.js';
export type { KeyParts } from '../caches/canonical-key-parts.js';
export type { EventOutcome } from '../caches/events/event-outcome.js';
export type { CacheClient, CacheInfo, EntryRead, PutOutcome } from './cache-client.js';
export type { CacheEntry } from './cache-entry.js';
export type { Cached, CachedFigures, CachedOptions } from './cached.js';
export type { HeadraceClient } from './client.js';
export { ClientError, type ErrorCode } from './client-error.js';
export { CLIENT_OPTIONS, type ClientOptions } from './client-options.js';
export { bytesCodec, type Codec, jsonCodec } from './codec.js';
export type { PutEntryOptions } from './entry-put.js';
export type { HeadraceEvent } from './events.js';
export type { Extracted, ExtractedFeatures, FeaturesFigures, FeaturesOptions } from './extracted-features.js';
export type {
  ColumnValues,
  FeatureInput,
  FeatureRow,
  FeatureRowInput,
  Features,
  FeatureType,
  FeatureValue,
} from './feature-types.js';
export type { Invalidation } from './invalidation.js';
export type { LookupColumn, LookupColumns, RowStatus } from './lookup-columns.js';
export type { RecordOptions } from './record-body.js';
export type { CallOptions } from './transport.js';
export type {
  LoadRecord,
  LoadResult,
  LookupJson,
  LookupRow,
  PutResult,
  SelectOptions,
  StoredRecord,
  ViewClient,
  ViewDefinition,
  ViewInfo,
} from './view-client.js';

/**
 * A client; nothing is connected before it is asked for something.
 * @throws ClientError `bad-request` when an option is wrong.
 */
export function connect(options: ClientOptions): HeadraceClient {
  return new HeadraceClient(options);
}
