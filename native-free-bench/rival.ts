/**
 * Where a rival's process starts: `rival.js NAME OPTIONS-FILE`. Only the rival's own libraries are loaded, so that none
 * pays for another's.
 */
import { type RivalServer, readRivalTask } from './rivals/rival.js';

async function load(name: string | undefined): Promise<RivalServer> {
  switch (name) {
    case 'bare-uws':
    case 'bare-uws-params':
      return (await import('./rivals/bare-uws.js')).serve;
    case 'fastify-bentocache':
    case 'fastify-bentocache-objects':
      return (await import('./rivals/fastify-bentocache.js')).serve;
    case 'fastify-lru-cache':
      return (await import('./rivals/fastify-lru-cache.js')).serve;
    case 'fastify-ioredis':
    case 'fastify-ioredis-columns':
      return (await import('./rivals/fastify-ioredis.js')).serve;
    default:
      throw new Error(`there is no rival ${name}`);
  }
}

const [, , name, optionsFile = ''] = process.argv;
const serve = await load(name);
const port = await serve(readRivalTask(optionsFile));
process.on('SIGTERM', () => process.exit(0));
process.stdout.write(`${JSON.stringify({ msg: 'ready', port })}\n`);
