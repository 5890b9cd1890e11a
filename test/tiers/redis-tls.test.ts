/** The tier and the tracking over TLS, with certificates made for this. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { describeWithRedis, eventually, freePort, RedisServer } from '../support/redis-server.js';
import { connectTo, openRedisTier } from './redis-fixture.js';
import { News } from './redis-news.js';
import { write } from './tier-suite.js';

const QUICK = { commandTimeoutMs: 500, connectTimeoutMs: 500 };

function makeCertificate(directory: string, name: string): { cert: string; key: string } {
  const [cert, key] = [join(directory, `${name}.pem`), join(directory, `${name}.key`)];
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost'];
  const files = ['-keyout', key, '-out', cert];
  const made = spawnSync('openssl', [
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    ...subject,
    ...files,
  ]);
  if (made.status !== 0) throw new Error(`openssl cannot make a certificate: ${made.stderr}`);
  return { cert, key };
}

describeWithRedis('Redis over TLS', () => {
  it('is spoken to when its certificate can be trusted, and the client has one too', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'headrace-tls-'));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const [own, other] = ['own', 'other'].map(name => makeCertificate(directory, name));
    if (own === undefined || other === undefined) throw new Error('there are two certificates');
    const port = await freePort();
    const files = ['--tls-cert-file', own.cert, '--tls-key-file', own.key, '--tls-ca-cert-file', own.cert];
    const server = await RedisServer.start(['--tls-port', String(port), ...files]);
    try {
      await server.admin.acl(
        'SETUSER',
        'app',
        'on',
        '>secret',
        '~headrace:*',
        '&__redis__:invalidate',
        '+@all',
      );
      const url = `rediss://app:secret@localhost:${port}`;
      const client = `cert=${own.cert}&key=${own.key}`;
      const { tier, connection, close } = await openRedisTier(`${url}?ca=${own.cert}&${client}`);
      const news = new News(connection);
      await news.whole();
      expect(await tier.putMany([write('a', 1)])).toEqual([null]);
      await eventually(() => news.ids.includes('a'), 'the write is heard of');
      news.tracking.close();
      await close();
      const refused = [
        `ca=${other.cert}&${client}`,
        `ca=${own.cert}`,
        `ca=${own.cert}&${client}&servername=elsewhere`,
      ];
      for (const query of refused) {
        const untrusted = connectTo(`${url}?${query}`, QUICK);
        await expect(untrusted.ready()).rejects.toMatchObject({ code: 'unavailable' });
        untrusted.close();
      }
    } finally {
      await server.close();
    }
  });
});
