/** The types of features, held by the compiler: this file does not compile when they are others. */
import { expect, it } from 'vitest';
import {
  connect,
  type FeatureRow,
  type FeatureRowInput,
  type LookupColumns,
} from '../../src/client/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<_Holds extends true>(): void {}

const client = connect({ url: 'http://127.0.0.1:1' });
const docs = client.view('docs', {
  entity: 'doc',
  features: {
    rank: 'float32',
    clicks: 'int64',
    isSpam: 'bool',
    title: 'string',
    hash: 'bytes',
    vector: 'float32[3]',
  },
});

interface Row {
  readonly rank: number | null;
  readonly clicks: number | null;
  readonly isSpam: boolean | null;
  readonly title: string | null;
  readonly hash: Uint8Array | null;
  readonly vector: Float32Array | null;
}
type Declared = NonNullable<(typeof docs)['definition']>['features'];

/** What it says, the compiler checks; it is not run. */
async function typed(): Promise<void> {
  same<Equal<{ [K in keyof FeatureRow<Declared>]: FeatureRow<Declared>[K] }, { [K in keyof Row]: Row[K] }>>();
  const all = (await docs.get('a'))?.features;
  const title: string | null | undefined = all?.title;
  const vector: Float32Array | null | undefined = all?.vector;
  const some = (await docs.get('a', { features: ['rank'] }))?.features;
  const rank: number | null | undefined = some?.rank;
  // @ts-expect-error it was not asked for
  const lacking = some?.title;
  // @ts-expect-error there is no such feature
  await docs.get('a', { features: ['ranks'] });
  // @ts-expect-error it is a string
  await docs.put('a', { title: 1 });
  // @ts-expect-error there is no such feature
  await docs.put('a', { titel: 'a' });
  await docs.put('a', { vector: [1, 2, 3], hash: new Uint8Array(1), clicks: null });
  await docs.put('a', { vector: Float32Array.of(1, 2, 3) });
  // @ts-expect-error no view has features of this type
  client.view('wrong', { entity: 'doc', features: { a: 'float16' } });
  const found: LookupColumns<Pick<Declared, 'rank' | 'title'>> = await docs.lookup(['a'], {
    features: ['rank', 'title'],
  });
  const floats: Float32Array = found.columns.rank.values;
  const texts: readonly string[] = found.columns.title.values;
  // @ts-expect-error a string is no number
  const wrong: number | null = found.columns.title.at(0);
  const [row] = await docs.getMany(['a']);
  if (row?.status === 'PRESENT') same<Equal<typeof row.features.clicks, number | null>>();
  // @ts-expect-error only a record that there is has features
  else void row?.features;
  const search = client.cached(async (query: string, k: number) => [{ query, k }], {
    cache: 'results',
    key: (query, k) => ({ query, params: { k } }),
    tags: ([first]) => [first?.query ?? ''],
  });
  same<Equal<Parameters<typeof search>, [query: string, k: number]>>();
  same<Equal<Awaited<ReturnType<typeof search>>, { query: string; k: number }[]>>();
  const input: FeatureRowInput<Declared> = { rank: 1 };
  const extract = client.features(() => ({ a: input }), { view: docs, features: ['vector'] });
  const rows: ({ readonly vector: Float32Array | null } | undefined)[] = await extract(['a']);
  void [title, vector, rank, lacking, floats, texts, wrong, rows];
}

it('types of features are held by the compiler', async () => {
  expect(typed).toBeTypeOf('function');
  expect(docs.definition?.features.vector).toBe('float32[3]');
  await client.close();
});
