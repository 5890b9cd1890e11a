import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JsonReader } from '../../src/base/json.js';
import { skipValue } from '../../src/base/json-value.js';
import { KeyTable } from '../../src/base/key-table.js';

/** The keys of an object as the table gives them. */
function keysOf(table: KeyTable, text: string): (number | string)[] {
  const reader = new JsonReader().open(Buffer.from(text));
  const keys: (number | string)[] = [];
  table.begin();
  for (let more = reader.beginObject(); more; more = reader.nextMember()) {
    const place = table.read(reader);
    keys.push(place === -1 ? table.unknown : place);
    expect(reader.path()).toBe(typeof place === 'number' && place >= 0 ? NAMES[place] : table.unknown);
    skipValue(reader);
  }
  return keys;
}

const NAMES = ['a', 'ab', 'b', 'c"d', 'é'];

test('keys are known in any order, spelled in any way, object after object', () => {
  const key = fc.oneof(
    fc.constantFrom(...NAMES),
    fc.string({ maxLength: 3 }),
    fc.constantFrom('x', 'y', 'z'.repeat(65)),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.uniqueArray(key), fc.boolean())), objects => {
      const table = new KeyTable(NAMES);
      for (const [keys, escaped] of objects) {
        const members = keys.map(name => `${escaped ? spelledOut(name) : JSON.stringify(name)}:0`);
        const wanted = keys.map(name => (NAMES.includes(name) ? NAMES.indexOf(name) : name));
        expect(keysOf(table, `{${members.join()}}`)).toEqual(wanted);
        NAMES.forEach((name, place) => {
          expect(table.has(place)).toBe(keys.includes(name));
        });
        const [again] = members;
        if (again !== undefined) {
          expect(() => keysOf(table, `{${members.join()},${again}}`)).toThrow('is there twice');
        }
      }
    }),
  );
});

function spelledOut(name: string): string {
  const units = Array.from({ length: name.length }, (_, i) =>
    name.charCodeAt(i).toString(16).padStart(4, '0'),
  );
  return `"${units.map(unit => `\\u${unit}`).join('')}"`;
}

test('more strangers than are remembered are still told apart', () => {
  const table = new KeyTable(NAMES);
  const strangers = Array.from({ length: 1000 }, (_, i) => `s${i}`);
  const members = [...strangers.map(name => `"${name}":0`), '"b":1'];
  for (let round = 0; round < 3; round++)
    expect(keysOf(table, `{${members.join()}}`)).toEqual([...strangers, 2]);
  expect(() => keysOf(table, `{${members.join()},"s999":1}`)).toThrow('the key "s999" is there twice');
  expect(() => keysOf(table, `{${members.join()},"s1":1}`)).toThrow('the key "s1" is there twice');
  expect(keysOf(table, '{"s999":1,"s0":1}')).toEqual(['s999', 's0']);
});
