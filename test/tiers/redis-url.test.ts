import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRedisUrl, showRedisTarget } from '../../src/tiers/redis-url.js';
import { targetOf } from './redis-fixture.js';

describe('the URL of Redis', () => {
  it('names one server', () => {
    expect(targetOf('redis://example.net')).toMatchObject({
      mode: 'standalone',
      tls: false,
      nodes: [{ host: 'example.net', port: 6379 }],
      database: 0,
      username: '',
      password: '',
      parameters: { prefix: 'headrace:' },
    });
    expect(
      targetOf('rediss://u%40x:p%3A%2F%40@[::1]:7000/3?prefix=a:b:&servername=c.d&ca=/etc/ca.pem'),
    ).toMatchObject({
      tls: true,
      nodes: [{ host: '::1', port: 7000 }],
      database: 3,
      username: 'u@x',
      password: 'p:/@',
      parameters: { prefix: 'a:b:', servername: 'c.d', ca: '/etc/ca.pem' },
    });
    expect(targetOf('redis://:only-password@h')).toMatchObject({ username: '', password: 'only-password' });
  });

  it('names Sentinels and a cluster', () => {
    expect(targetOf('redis+sentinel://a,b:1234/my.master?db=2&sentinelPassword=s%20t')).toMatchObject({
      mode: 'sentinel',
      nodes: [
        { host: 'a', port: 26379 },
        { host: 'b', port: 1234 },
      ],
      masterName: 'my.master',
      database: 2,
      parameters: { sentinelPassword: 's t' },
    });
    expect(targetOf('rediss+cluster://u:p@a:7000,b:7001')).toMatchObject({
      mode: 'cluster',
      tls: true,
      nodes: [
        { host: 'a', port: 7000 },
        { host: 'b', port: 7001 },
      ],
    });
  });

  it.each([
    ['http://h', /must begin with redis:\/\//],
    ['redis:/h', /must begin with/],
    ['redis://h#x', /have no #/],
    ['redis+other://h', /must begin with/],
    ['redis://', /no valid host:port in place 1/],
    ['redis://a,b', /several hosts/],
    ['redis+cluster://a,,b', /in place 2/],
    ['redis://h:0', /port that is not 1 to 65535/],
    ['redis://h:65536', /port that is not 1 to 65535/],
    ['redis://h/x', /database number/],
    ['redis://h/0/1', /database number/],
    ['redis+cluster://h/1', /a cluster has only 0/],
    ['redis+sentinel://h', /must name the master/],
    ['redis+sentinel://h/a/b', /must name the master/],
    ['redis://h?db=1', /db, which is for Sentinel/],
    ['redis://h?ca=x', /ca, which is for TLS/],
    ['rediss://h?cert=x', /one of cert and key/],
    ['redis://h?prefx=x', /unknown parameter; there are prefix, db/],
    ['redis://h?prefix=a&prefix=b', /prefix twice/],
    ['redis://h?prefix=', /prefix without a value/],
    ['redis://h?prefix={a}', /has a prefix that is not/],
    ['redis://h?prefix=a*', /has a prefix that is not/],
    ['redis://h?prefix=%zz', /wrong percent-encoding in prefix/],
    ['redis://u@h', /a user without a password/],
    ['redis://u:p@q@h', /%40/],
    ['redis://u:%@h', /wrong percent-encoding in the password/],
  ])('says what is wrong with %s', (url, reason) => {
    expect(parseRedisUrl(url)).toMatch(reason);
  });

  it('is shown without its secrets, and read again the same', () => {
    const urls = [
      'redis://h:1/2?prefix=x:',
      'redis://us%2Fer:secret@h:1/0?prefix=x:',
      'rediss+sentinel://u:secret@a:1,[::1]:2/m?prefix=x:&db=3&sentinelUsername=s&sentinelPassword=secret',
      'rediss+cluster://:secret@a:1,b:2?prefix=x:&servername=n',
    ];
    for (const url of urls) {
      const shown = showRedisTarget(targetOf(url));
      expect(shown).not.toContain('secret');
      expect(shown).toBe(url.replaceAll('secret', '***'));
      expect(showRedisTarget(targetOf(shown))).toBe(shown);
    }
  });

  it('never shows a password in what it says', () => {
    const password = 'Zq7wXv9s';
    const piece = fc.constantFrom(
      'redis',
      'rediss',
      '+cluster',
      '+sentinel',
      '://',
      ':',
      '@',
      '/',
      '?',
      ',',
      '#',
      'h',
      '&',
      '=',
      '%',
      'prefix',
      ' ',
      '\0',
      'db',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.array(piece, { maxLength: 12 }), (before, after) => {
        for (const text of [
          `redis://u:${password}${after.join('')}`,
          `${before.join('')}${password}${after.join('')}`,
        ]) {
          const target = parseRedisUrl(text);
          if (typeof target === 'string') expect(target).not.toContain(password);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
