/** Every option of the client, once: default, limit, meaning. */
import { ClientError } from './client-error.js';

interface NumberOption {
  readonly standard: number;
  readonly min: number;
  readonly max: number;
  readonly meaning: string;
}

export const CLIENT_OPTIONS = {
  timeoutMs: {
    standard: 1_000,
    min: 1,
    max: 600_000,
    meaning: 'a call fails after this time, retries and all',
  },
  loadTimeoutMs: { standard: 600_000, min: 1, max: 86_400_000, meaning: 'a load fails after this time' },
  connections: { standard: 16, min: 1, max: 1_024, meaning: 'connections that are kept' },
  retriesMax: {
    standard: 2,
    min: 0,
    max: 10,
    meaning: 'times that a call is sent again within its time, where that is safe',
  },
  hedgeAfterMs: {
    standard: 0,
    min: 0,
    max: 60_000,
    meaning: 'a read without an answer by then is sent a second time; 0: never',
  },
  pendingMax: { standard: 10_000, min: 1, max: 1_000_000, meaning: 'calls that may wait at once' },
  answerBytesMax: { standard: 64 * 2 ** 20, min: 1_024, max: 2 ** 30, meaning: 'bytes of an answer' },
} as const satisfies Record<string, NumberOption>;

type Numbers = { readonly [K in keyof typeof CLIENT_OPTIONS]: number };

export interface ClientOptions extends Partial<Numbers> {
  /** The server, or the load balancer before several: `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Sent with every request, for what stands before the server. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ClientSettings extends Numbers {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
}

/** @throws ClientError `bad-request` that names the option, its value and its limit. */
export function readClientOptions(given: ClientOptions): ClientSettings {
  const known = new Set(['url', 'headers', ...Object.keys(CLIENT_OPTIONS)]);
  for (const name of Object.keys(given))
    if (!known.has(name)) throw wrong(`${name} is no option of the client`);
  const numbers: Record<string, number> = {};
  for (const [name, { standard, min, max }] of Object.entries(CLIENT_OPTIONS)) {
    const value = given[name as keyof typeof CLIENT_OPTIONS] ?? standard;
    checkNumber(name, value, min, max);
    numbers[name] = value;
  }
  return { ...(numbers as Numbers), url: serverUrl(given.url), headers: given.headers ?? {} };
}

/** @throws ClientError `bad-request` unless it is a whole number within the limits. */
export function checkNumber(name: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max)
    throw wrong(`${name} is ${value}, allowed: ${min} to ${max}`);
}

function serverUrl(given: string): URL {
  const example = 'it looks like http://127.0.0.1:8080';
  if (!URL.canParse(given)) throw wrong(`url is '${given}', which is no URL; ${example}`);
  const url = new URL(given);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw wrong(`url is '${given}', which begins neither with http:// nor https://; ${example}`);
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '')
    throw wrong(`url is '${given}', which has more than a host and a port; ${example}`);
  return url;
}

function wrong(message: string): ClientError {
  return new ClientError('bad-request', message, { wasRefused: true });
}
