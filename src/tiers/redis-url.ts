/**
 * Where Redis is, as one URL:
 *
 *   redis://user:password@host:6379/0            one server; the path is the database
 *   redis+sentinel://h1:26379,h2:26379/mymaster  the master that these Sentinels name; `?db=0` is the database
 *   redis+cluster://h1:7000,h2:7001              a cluster, found through any of its nodes
 *
 * `rediss` in the place of `redis` is TLS. What is special in a user or password is percent-encoded. IPv6 addresses
 * stand in brackets. Parameters: see `PARAMETERS`.
 */

export type RedisMode = 'standalone' | 'sentinel' | 'cluster';

export interface RedisNode {
  readonly host: string;
  readonly port: number;
}

export interface RedisTarget {
  readonly mode: RedisMode;
  readonly tls: boolean;
  /** Servers, Sentinels or cluster nodes; standalone has one. */
  readonly nodes: readonly RedisNode[];
  /** The name that Sentinel knows the master by; empty elsewhere. */
  readonly masterName: string;
  readonly database: number;
  readonly username: string;
  readonly password: string;
  readonly parameters: Readonly<Record<RedisParameter, string>>;
}

const PARAMETERS = {
  prefix: 'what every key begins with',
  db: 'the database, with Sentinel',
  sentinelUsername: 'the ACL user at the Sentinels',
  sentinelPassword: 'the password at the Sentinels',
  ca: 'a file of certificates to trust, PEM',
  cert: 'a file with the client certificate, PEM',
  key: 'a file with its private key, PEM',
  servername: 'the name the server certificate must have',
} as const;

export type RedisParameter = keyof typeof PARAMETERS;

export const REDIS_PREFIX = 'headrace:';
const PORT = { standalone: 6379, sentinel: 26379, cluster: 6379 } as const;
const NODES_MAX = 64;
const DATABASE_MAX = 9999;

const URL_FORM = /^(redis|rediss)(?:\+(sentinel|cluster))?:\/\/([^/?#]*)(\/[^?#]*)?(\?[^#]*)?$/;
const NODE_FORM = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?$/;
/** No glob and no hash tag can be in it: views are found by pattern, and keys spread by the hash of the whole key. */
const PREFIX_FORM = /^[A-Za-z0-9_.:/-]{1,64}$/;

/** A reason to refuse the URL; it never holds what may be a secret. */
class Refusal extends Error {}

/** The target, or what is wrong with the text. The reason holds no password. */
export function parseRedisUrl(text: string): RedisTarget | string {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof Refusal) return error.message;
    throw error;
  }
}

function parse(text: string): RedisTarget {
  const found = URL_FORM.exec(text);
  if (found === null) {
    const schemes =
      'redis://, rediss://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://';
    throw new Refusal(`must begin with ${schemes}, then hosts, and have no #`);
  }
  const [, scheme, kind, authority = '', path = '', query = ''] = found;
  const mode: RedisMode = kind === 'sentinel' || kind === 'cluster' ? kind : 'standalone';
  const at = authority.lastIndexOf('@');
  const login = parseLogin(at < 0 ? '' : authority.slice(0, at));
  const nodes = parseNodes(authority.slice(at + 1), mode);
  const parameters = parseParameters(query, mode, scheme === 'rediss');
  const place = parsePath(path.slice(1), mode);
  const database = mode === 'sentinel' ? parseDatabase(parameters.db || '0', 'db') : place.database;
  return { mode, tls: scheme === 'rediss', nodes, ...login, ...place, database, parameters };
}

function parseLogin(text: string): { username: string; password: string } {
  if (text.includes('@')) throw new Refusal('has a user or password with an @, which must be written %40');
  const colon = text.indexOf(':');
  const username = decoded(colon < 0 ? text : text.slice(0, colon), 'the user');
  const password = decoded(colon < 0 ? '' : text.slice(colon + 1), 'the password');
  if (username !== '' && password === '') throw new Refusal('has a user without a password');
  return { username, password };
}

function parseNodes(text: string, mode: RedisMode): RedisNode[] {
  const parts = text.split(',');
  if (mode === 'standalone' && parts.length > 1) {
    throw new Refusal('names several hosts: redis+cluster:// and redis+sentinel:// can, redis:// cannot');
  }
  if (parts.length > NODES_MAX) throw new Refusal(`names ${parts.length} hosts, ${NODES_MAX} are allowed`);
  return parts.map((part, index) => {
    const [, host, port = String(PORT[mode])] = NODE_FORM.exec(part) ?? [];
    // Not shown: an unencoded / or ? in a password makes the rest of it look like a host.
    if (host === undefined) throw new Refusal(`has no valid host:port in place ${index + 1}`);
    if (Number(port) < 1 || Number(port) > 65535)
      throw new Refusal(`has a port that is not 1 to 65535 in place ${index + 1}`);
    return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
  });
}

function parsePath(path: string, mode: RedisMode): { masterName: string; database: number } {
  if (mode === 'sentinel') {
    const masterName = decoded(path, 'the name of the master');
    if (!/^[A-Za-z0-9._-]+$/.test(masterName)) {
      throw new Refusal('must name the master behind the Sentinels: redis+sentinel://host:26379/mymaster');
    }
    return { masterName, database: 0 };
  }
  const database = parseDatabase(path === '' ? '0' : path, 'the path');
  if (mode === 'cluster' && database !== 0) throw new Refusal('names a database, but a cluster has only 0');
  return { masterName: '', database };
}

function parseDatabase(text: string, where: string): number {
  if (!/^[0-9]{1,4}$/.test(text))
    throw new Refusal(`has in ${where} no database number from 0 to ${DATABASE_MAX}`);
  return Number(text);
}

function parseParameters(query: string, mode: RedisMode, tls: boolean): Record<RedisParameter, string> {
  const parameters: Record<RedisParameter, string> = {
    prefix: REDIS_PREFIX,
    db: '',
    sentinelUsername: '',
    sentinelPassword: '',
    ca: '',
    cert: '',
    key: '',
    servername: '',
  };
  const seen = new Set<string>();
  for (const pair of query.slice(1).split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = equals < 0 ? pair : pair.slice(0, equals);
    if (!isParameter(name)) {
      throw new Refusal(`has an unknown parameter; there are ${Object.keys(PARAMETERS).join(', ')}`);
    }
    if (seen.has(name)) throw new Refusal(`has the parameter ${name} twice`);
    seen.add(name);
    parameters[name] = decoded(equals < 0 ? '' : pair.slice(equals + 1), name);
    if (parameters[name] === '') throw new Refusal(`has the parameter ${name} without a value`);
    const ofSentinel = name === 'db' || name.startsWith('sentinel');
    if (ofSentinel && mode !== 'sentinel')
      throw new Refusal(`has the parameter ${name}, which is for Sentinel`);
    if (['ca', 'cert', 'key', 'servername'].includes(name) && !tls) {
      throw new Refusal(`has the parameter ${name}, which is for TLS (rediss)`);
    }
  }
  if (!PREFIX_FORM.test(parameters.prefix)) {
    throw new Refusal('has a prefix that is not 1 to 64 of the characters A-Z a-z 0-9 _ . : / -');
  }
  if ((parameters.cert === '') !== (parameters.key === ''))
    throw new Refusal('has one of cert and key without the other');
  return parameters;
}

function isParameter(name: string): name is RedisParameter {
  return Object.hasOwn(PARAMETERS, name);
}

function decoded(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Refusal(`has a wrong percent-encoding in ${what}`);
  }
}

/** The URL without its secrets: for logs and reports. */
export function showRedisTarget(target: RedisTarget): string {
  const { mode, tls, nodes, masterName, database, username, password, parameters } = target;
  const scheme = `${tls ? 'rediss' : 'redis'}${mode === 'standalone' ? '' : `+${mode}`}`;
  const login = password === '' ? '' : `${encodeURIComponent(username)}:***@`;
  const hosts = nodes.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',');
  const path = mode === 'sentinel' ? `/${masterName}` : mode === 'standalone' ? `/${database}` : '';
  const query = Object.entries(parameters).flatMap(([name, value]) => {
    if (value === '') return [];
    return [`${name}=${name === 'sentinelPassword' ? '***' : value}`];
  });
  return `${scheme}://${login}${hosts}${path}?${query.join('&')}`;
}
