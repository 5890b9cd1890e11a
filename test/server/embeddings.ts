/** Caches of embeddings for tests against the server: one for each storage, and vectors for them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { PACKINGS } from '../../src/caches/embeddings/packing.js';
import type { Answer, ApiClient } from './api-client.js';

export const DIMENSIONS = 24;
const NDJSON = { 'content-type': 'application/x-ndjson' };
const OCTETS = 'application/octet-stream';

const directory = mkdtempSync(join(tmpdir(), 'headrace-embeddings-'));
afterAll(() => rmSync(directory, { recursive: true }));
let files = 0;

/** A file of caches, removed when the test file is done: the environment that names it. */
export function configured(caches: Readonly<Record<string, unknown>>): Record<string, string> {
  const file = join(directory, `caches-${files++}.json`);
  writeFileSync(file, JSON.stringify({ caches }));
  return { HEADRACE_CONFIG_FILE: file };
}

/** A cache of each storage, named like it. */
export const STORAGES = Object.fromEntries(
  PACKINGS.map(storage => [storage, { embedding: { dimensions: DIMENSIONS, storage } }]),
);

export const entryPath = (cache: string, key: string) =>
  `/v1/caches/${cache}/entries/${encodeURIComponent(key)}`;
export const batchPath = (cache: string) => `/v1/caches/${cache}/entries:batchGet`;
export const scorePath = (cache: string) => `/v1/embeddings/${cache}/score`;

export function bytesOf(vector: ArrayLike<number>): Buffer {
  const bytes = Buffer.alloc(4 * vector.length);
  for (let n = 0; n < vector.length; n++) bytes.writeFloatLE(vector[n] ?? 0, 4 * n);
  return bytes;
}

export function floatsOf(bytes: Buffer): Float32Array {
  return Float32Array.from({ length: bytes.length / 4 }, (_, n) => bytes.readFloatLE(4 * n));
}

export function putVector(
  api: ApiClient,
  cache: string,
  key: string,
  vector: ArrayLike<number>,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const all = { 'content-type': 'application/json', ...headers };
  return api.request('PUT', entryPath(cache, key), JSON.stringify(Array.from(vector)), all);
}

/** As float32s, the form that loses nothing. */
export async function getVector(api: ApiClient, cache: string, key: string): Promise<Float32Array> {
  const answer = await api.get(entryPath(cache, key), { accept: OCTETS });
  expect([answer.status, answer.headers['content-type']]).toEqual([200, OCTETS]);
  return floatsOf(answer.bytes);
}

export interface Line {
  readonly key: string;
  readonly vector: ArrayLike<number>;
  readonly tags?: readonly string[];
}

export function loadLines(api: ApiClient, cache: string, lines: readonly (Line | string)[]): Promise<Answer> {
  const text = lines.map(line =>
    typeof line === 'string' ? line : JSON.stringify({ ...line, vector: Array.from(line.vector) }),
  );
  return api.request('POST', `/v1/caches/${cache}/entries`, text.join('\n'), NDJSON);
}

/** All of them, as a load that is acknowledged. */
export async function load(api: ApiClient, cache: string, lines: readonly Line[]): Promise<void> {
  const answer = await loadLines(api, cache, lines);
  expect([answer.status, answer.json()]).toEqual([
    200,
    { applied: lines.length, stale: 0, failed: 0, errors: [] },
  ]);
}

export interface ScoreAnswer {
  readonly cache: string;
  readonly metric: string;
  readonly matches: readonly { readonly id: string; readonly score: number }[];
  readonly missing: readonly string[];
  readonly unavailable: readonly string[];
}

export async function score(api: ApiClient, cache: string, question: unknown): Promise<ScoreAnswer> {
  const answer = await api.post(scorePath(cache), question);
  expect([answer.status, answer.headers['content-type'], answer.status === 200 ? '' : answer.text]).toEqual([
    200,
    'application/json',
    '',
  ]);
  return answer.json() as ScoreAnswer;
}

export interface ScoringFigures {
  readonly questions: number;
  readonly scored: number;
  readonly missing: number;
  readonly unavailable: number;
  readonly malformed: number;
}

export async function scoringFigures(api: ApiClient, cache: string): Promise<ScoringFigures> {
  const shown = (await api.get(`/v1/caches/${cache}`)).json();
  return (shown as { figures: { scoring: ScoringFigures } }).figures.scoring;
}
