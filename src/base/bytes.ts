/** Sizes as users write them: a whole number of bytes, or one with a unit, `512KiB`, `64MiB`, `2GiB`, `1TiB`. */

const UNITS = [
  ['TiB', 2 ** 40],
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
  ['B', 1],
] as const;

const SIZE = /^([0-9]{1,16})(B|KiB|MiB|GiB|TiB)?$/;

/** Bytes, or what is wrong with the text: `must be …`. Bounds are inclusive. */
export function parseBytes(text: string, bytesMin = 0, bytesMax = Number.MAX_SAFE_INTEGER): number | string {
  const [, count, unit = 'B'] = SIZE.exec(text) ?? [];
  const bytes = Number(count) * (UNITS.find(([name]) => name === unit)?.[1] ?? Number.NaN);
  if (Number.isNaN(bytes)) return 'must be a whole number of bytes, or one with a unit: 512KiB, 64MiB, 2GiB';
  return bytes >= bytesMin && bytes <= bytesMax
    ? bytes
    : `must be between ${formatBytes(bytesMin)} and ${formatBytes(bytesMax)}`;
}

/** In the largest unit that leaves a whole number; `parseBytes` reads it back. */
export function formatBytes(bytes: number): string {
  for (const [name, size] of UNITS) if (bytes >= size && bytes % size === 0) return `${bytes / size}${name}`;
  return `${bytes}B`;
}
