/** Where an origin may be, and what a key can make of its URL: nothing. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAddressRule } from '../../src/base/origin-address.js';
import { isBatchTarget, type OriginTarget, parseOriginPlace, pathOfKey } from '../../src/base/origin-url.js';

const HOSTS = ['search', 'models:8080'];

function parse(url: string, addresses: readonly string[] = [], hosts: readonly string[] = HOSTS) {
  return parseOriginPlace({ url, hosts, addresses });
}

function target(url: string): OriginTarget {
  const parsed = parse(url);
  if (typeof parsed === 'string') throw new Error(parsed);
  return parsed;
}

describe('the URL of an origin', () => {
  it.each([
    ['http://search/q?q={key}', 'http://search', false],
    ['HTTPS://SEARCH/q/{key}', 'https://search', false],
    ['http://search:9200?q={key}', 'http://search:9200', false],
    ['http://models:8080/embed', 'http://models:8080', true],
    ['http://models:8080', 'http://models:8080', true],
  ])('%s is understood', (url, origin, isBatch) => {
    const parsed = target(url);
    expect(parsed.origin).toBe(origin);
    expect(isBatchTarget(parsed)).toBe(isBatch);
    expect(parsed.pieces[0]).toMatch(/^\//);
  });

  it.each([
    ['ftp://search/{key}', /must be http/],
    ['search/q', /must be http/],
    ['http://{key}/q', /must be http/],
    ['http://search:{key}/q', /must be http/],
    ['http://user:secret@search/q', /must be http/],
    ['http://search@evil/q', /must be http/],
    ['http://search\\@evil/q', /must be http/],
    ['http://search:99999/q', /must be http/],
    ['http://search/q#{key}', /must be http/],
    ['http://search/a b', /percent-encoded/],
    ['http://search/é', /percent-encoded/],
    ['http://search/100%', /percent-encoded/],
    ['http://search/{id}', /percent-encoded/],
    ['http://search/%ff/{key}', /not UTF-8/],
    ['http://search/a/../{key}', /segment/],
    ['http://search/a/%2e%2E/{key}', /segment/],
    ['http://evil/q', /not on the allowlist/],
    ['http://search.evil/q', /not on the allowlist/],
    ['http://models/embed', /not on the allowlist/],
    ['http://models:8081/embed', /not on the allowlist/],
    [`http://search/${'a'.repeat(2_048)}`, /longer/],
  ])('%s is refused', (url, reason) => {
    expect(parse(url)).toMatch(reason);
  });

  it.each([
    '127.0.0.1',
    '0x7f.1',
    '2130706433',
    '10.0.0.1',
    '169.254.169.254',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[fd00:ec2::254]',
  ])('the address %s needs to be allowed, not only its name', literal => {
    const { hostname } = new URL(`http://${literal}`);
    expect(parse(`http://${literal}/`, [], [hostname])).toMatch(/neither public nor allowed/);
    const address = hostname.replace(/[[\]]/g, '');
    expect(parse(`http://${literal}/`, [address], [hostname])).toHaveProperty('origin', `http://${hostname}`);
  });
});

describe('a key in a URL', () => {
  it('is percent-encoded whole', () => {
    const { pieces, pathPieces, ...rest } = target('http://search/a/{key}/b?q={key}&k=1');
    expect(pathOfKey({ ...rest, pieces, pathPieces }, 'x/y?z&é #%\r\n*')).toBe(
      '/a/x%2Fy%3Fz%26%C3%A9%20%23%25%0D%0A%2A/b?q=x%2Fy%3Fz%26%C3%A9%20%23%25%0D%0A%2A&k=1',
    );
  });

  it.each(['.', '..', '../admin', 'a/../../b', '..\\admin', 'a/.', '..;/admin', './x'])(
    'is not asked for in a path where it makes a segment . or ..: %s',
    key => {
      expect(() => pathOfKey(target('http://search/items/{key}'), key)).toThrow(/would change the path/);
      expect(pathOfKey(target('http://search/items?id={key}'), key)).toMatch(/^\/items\?id=[^/\\]+$/);
    },
  );

  it('makes no such segment with what stands beside it', () => {
    expect(() => pathOfKey(target('http://search/.{key}/x'), '.')).toThrow(/would change the path/);
    expect(pathOfKey(target('http://search/v{key}/x'), '..')).toBe('/v../x');
  });

  it('must be valid Unicode', () => {
    expect(() => pathOfKey(target('http://search/q?q={key}'), 'a\ud800')).toThrow(/Unicode/);
  });

  it('never changes host, path or the names of parameters, and comes out as it went in', () => {
    const template = target('http://search/items/{key}/x?q={key}&k=10');
    const hostile = fc.constantFrom(
      '/',
      '\\',
      '.',
      '..',
      '?',
      '#',
      '&',
      '=',
      '%2f',
      '@',
      ':',
      '{key}',
      '\0',
      '\r\n',
      ';',
    );
    const keys = fc
      .array(fc.oneof(hostile, fc.string({ unit: 'grapheme' })), { minLength: 1 })
      .map(parts => parts.join(''));
    let asked = 0;
    fc.assert(
      fc.property(keys, key => {
        let path: string;
        try {
          path = pathOfKey(template, key);
        } catch {
          expect(key.split(/[/\\]/).some(part => /^\.{1,2}(;|$)/.test(part))).toBe(true);
          return;
        }
        asked++;
        const url = new URL(path, template.origin);
        expect(url.origin).toBe('http://search');
        expect(url.pathname.split('/').map(decodeURIComponent)).toEqual(['', 'items', key, 'x']);
        expect([...url.searchParams]).toEqual([
          ['q', key],
          ['k', '10'],
        ]);
        expect(url.pathname + url.search).toBe(path);
      }),
      { numRuns: 2_000 },
    );
    expect(asked).toBeGreaterThan(500);
  });
});

describe('addresses', () => {
  const rule = (ranges: readonly string[]) => {
    const parsed = parseAddressRule(ranges);
    if (typeof parsed === 'string') throw new Error(parsed);
    return parsed;
  };

  it.each([
    ...[
      '0.0.0.0',
      '10.255.0.1',
      '100.64.0.1',
      '100.100.100.200',
      '127.0.0.1',
      '127.255.255.255',
      '169.254.169.254',
    ],
    ...[
      '168.63.129.16',
      '172.16.0.1',
      '172.31.255.255',
      '192.0.0.192',
      '192.168.1.1',
      '198.18.0.1',
      '224.0.0.1',
    ],
    ...['255.255.255.255', '::', '::1', 'fe80::1', 'fe80::1%lo', 'fc00::1', 'fd00:ec2::254', 'ff02::1'],
    ...[
      '::ffff:127.0.0.1',
      '::ffff:a9fe:a9fe',
      '::ffff:8.8.8.8',
      '::127.0.0.1',
      '64:ff9b::7f00:1',
      '2002:7f00:1::',
    ],
    ...['2001::1', '2001:db8::1', 'no address', ''],
  ])('%s is not public', address => {
    expect(rule([])(address)).toBe(false);
  });

  it.each([
    '1.1.1.1',
    '100.63.255.255',
    '172.32.0.1',
    '192.167.1.1',
    '223.255.255.255',
    '2606:4700::1',
    '2a00::1',
  ])('%s is public', address => {
    expect(rule([])(address)).toBe(true);
  });

  it('are allowed by range, in IPv6 too', () => {
    const allows = rule(['10.1.0.0/16', '127.0.0.1', 'fd12::/48']);
    for (const yes of ['10.1.2.3', '::ffff:10.1.2.3', '127.0.0.1', 'fd12::5', '1.1.1.1'])
      expect(allows(yes)).toBe(true);
    for (const no of ['10.2.0.1', '::ffff:10.2.0.1', '127.0.0.2', 'fd13::5', '::1'])
      expect(allows(no)).toBe(false);
  });

  it.each(['10.0.0.0/33', 'fd00::/129', '10.0.0', 'localhost', '10.0.0.0/', '', '10.0.0.0/8/8'])(
    'the range "%s" is none',
    range => {
      expect(parseAddressRule([range])).toMatch(/allows the address/);
      expect(parse('http://search/q', [range])).toMatch(/allows the address/);
    },
  );
});
