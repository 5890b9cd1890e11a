/**
 * The catalog of views in Redis, where it is the store of record: one hash, so one key, so one slot of a cluster, and
 * every change a script that nothing can come between.
 *
 *   next-uid        the uid that the next view gets, at least
 *   view/<name>     '<uid> <the view without its uid, as JSON>'
 *   dropped/<uid>   '': its records are being erased
 *
 * The key is under the prefix that is tracked, so a change on one instance is news to the others.
 */
import {
  BUILT_IN_PREFIX,
  type CatalogLimits,
  type CatalogView,
  isBuiltIn,
  type Standing,
  tooManyViews,
  type ViewCatalogStore,
  viewsMaxOf,
} from '../base/view-catalog.js';
import { rawCommand } from './redis-command.js';
import type { RedisConnection } from './redis-connection.js';
import { confirmDurable, type RedisDurability } from './redis-durability.js';
import { redisUnavailable } from './redis-error.js';
import type { Send } from './redis-exchange.js';
import { RedisKeys } from './redis-keys.js';
import { RedisScript } from './redis-script.js';

const VIEW = 'view/';
const DROPPED = 'dropped/';
const ENTRY = /^([1-9][0-9]{0,9}) (\{.*\})$/s;

/**
 * ARGV: name, JSON, smallest uid, views allowed, the prefix of built-in ones, whether it is one: they are counted apart.
 * Answers { won, entry }, or nothing when there are too many.
 */
const CREATE = new RedisScript(`
local field = 'view/' .. ARGV[1]
local held = redis.call('HGET', KEYS[1], field)
if held then return {0, held} end
local views = 0
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(name, 1, 5) == 'view/' and (string.sub(name, 6, 6) == ARGV[5]) == (ARGV[6] == '1') then
    views = views + 1
  end
end
if views >= tonumber(ARGV[4]) then return {} end
local uid = math.max(tonumber(redis.call('HGET', KEYS[1], 'next-uid') or '1'), tonumber(ARGV[3]))
local entry = string.format('%.0f', uid) .. ' ' .. ARGV[2]
redis.call('HSET', KEYS[1], 'next-uid', string.format('%.0f', uid + 1), field, entry)
return {1, entry}
`);

/** ARGV: name, uid, JSON. Answers { won, entry }, or nothing when no such view is held. */
const PUT = new RedisScript(`
local field = 'view/' .. ARGV[1]
local held = redis.call('HGET', KEYS[1], field)
if not held then return {} end
local uid, text = string.match(held, '^(%d+) (.*)$')
if uid ~= ARGV[2] then return {} end
local old, new = cjson.decode(text), cjson.decode(ARGV[3])
local follows = new.schema == old.schema + 1
if new.schema == old.schema then
  local function name(fence) return string.format('%s %.0f %s', fence.kind, fence.schema, fence.text) end
  local known = {}
  for _, fence in ipairs(old.fences or {}) do known[name(fence)] = true end
  follows = cjson.encode(new.features) == cjson.encode(old.features)
  for _, fence in ipairs(new.fences or {}) do follows = follows and known[name(fence)] == true end
end
if not follows then return {0, held} end
local entry = uid .. ' ' .. ARGV[3]
redis.call('HSET', KEYS[1], field, entry)
return {1, entry}
`);

/** ARGV: name, uid. */
const DROP = new RedisScript(`
local field = 'view/' .. ARGV[1]
local held = redis.call('HGET', KEYS[1], field)
if not held or string.match(held, '^%d+') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'dropped/' .. ARGV[2], '')
redis.call('HDEL', KEYS[1], field)
return 1
`);

export interface RedisCatalogOptions {
  readonly connection: RedisConnection;
  readonly limits: CatalogLimits;
  readonly durable?: RedisDurability;
}

export class RedisCatalog<V extends CatalogView> implements ViewCatalogStore<V> {
  readonly #connection: RedisConnection;
  readonly #limits: CatalogLimits;
  readonly #durable: RedisDurability | undefined;
  readonly #key: string;

  constructor({ connection, limits, durable }: RedisCatalogOptions) {
    this.#connection = connection;
    this.#limits = limits;
    this.#durable = durable;
    this.#key = new RedisKeys(connection.target.parameters.prefix).catalog;
  }

  async views(): Promise<V[]> {
    const fields = await this.#fields();
    return fields
      .filter(([name]) => name.startsWith(VIEW))
      .map(([, entry]) => viewFrom<V>(entry))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async create(draft: Omit<V, 'uid'>, uidMin: number): Promise<Standing<V>> {
    // The draft has a name, though the type of what is left of V cannot say so.
    const name = (draft as unknown as CatalogView).name;
    const max = String(viewsMaxOf(name, this.#limits));
    const counted = [BUILT_IN_PREFIX, isBuiltIn(name) ? '1' : '0'];
    const args = [name, textOf(draft), String(Math.max(1, uidMin)), max, ...counted];
    const standing = standingFrom<V>(await this.#run(CREATE, args));
    if (standing !== undefined) return standing;
    throw tooManyViews(name, this.#limits);
  }

  async put(view: V): Promise<Standing<V> | undefined> {
    return standingFrom<V>(await this.#run(PUT, [view.name, String(view.uid), textOf(view)]));
  }

  async drop({ name, uid }: Pick<V, 'name' | 'uid'>): Promise<void> {
    await this.#run(DROP, [name, String(uid)]);
  }

  async dropped(): Promise<number[]> {
    const fields = await this.#fields();
    return fields.flatMap(([name]) => (name.startsWith(DROPPED) ? [Number(name.slice(DROPPED.length))] : []));
  }

  async erased(viewUid: number): Promise<void> {
    await this.#change(send => send(rawCommand('hdel', [this.#key, DROPPED + viewUid])));
  }

  async #fields(): Promise<[string, string][]> {
    const connection = this.#connection;
    const answer = await connection.call(() => connection.send(rawCommand('hgetall', [this.#key])));
    // The one reply that ioredis turns into an object.
    return Object.entries(answer as Record<string, Buffer>).map(([name, entry]) => [name, entry.toString()]);
  }

  #run(script: RedisScript, args: readonly string[]): Promise<unknown> {
    return this.#change(send => script.call(send, this.#connection.send, [this.#key], args));
  }

  #change(work: (send: Send) => Promise<unknown>): Promise<unknown> {
    const connection = this.#connection;
    return connection.call(async () => {
      const { answer, nodes } = await connection.exchange(work);
      if (this.#durable !== undefined) await confirmDurable(nodes, this.#durable);
      return answer;
    });
  }
}

/** JSON without the uid, and without what is undefined. */
function textOf(view: object): string {
  return JSON.stringify({ ...view, uid: undefined });
}

function standingFrom<V>(answer: unknown): Standing<V> | undefined {
  if (!Array.isArray(answer) || !Buffer.isBuffer(answer[1])) return undefined;
  return { won: answer[0] === 1, view: viewFrom<V>(answer[1].toString()) };
}

function viewFrom<V>(entry: string): V {
  const [, uid, text] = ENTRY.exec(entry) ?? [];
  try {
    return { ...(JSON.parse(text ?? '') as V), uid: Number(uid) };
  } catch {
    throw redisUnavailable(`the catalog of views has an entry that cannot be read: ${entry.slice(0, 100)}`);
  }
}
