/** A client that writes and reads checked records, and enters into its ledger what the server has acknowledged. */
import { CHECKED_VIEW, type Features, featuresOf, hasServerVersions, type Ledger } from './ledger.js';

const VIEW = 'checked';
const LOOKUP_IDS_MAX = 5_000;

interface LookupBody {
  readonly features: readonly string[];
  readonly ids: readonly string[];
  readonly statuses: readonly string[];
  readonly versions: readonly (number | null)[];
  readonly columns: readonly (readonly unknown[])[];
}

export class CheckedClient {
  /** Answers that were neither a success nor one of the allowed refusals, and faults of what was read. */
  readonly faults: string[] = [];
  readonly refused = new Map<number, number>();
  hits = 0;
  reads = 0;
  readonly #base: string;
  readonly #ledger: Ledger;
  /** Statuses that are no fault: what the server may say while it is hurt. */
  readonly #allowed: ReadonlySet<number>;

  constructor(url: string, ledger: Ledger, allowed: readonly number[] = []) {
    this.#base = `${url}/v1/views/${VIEW}`;
    this.#ledger = ledger;
    this.#allowed = new Set(allowed);
  }

  async declare(): Promise<void> {
    const response = await fetch(this.#base, { method: 'PUT', body: JSON.stringify(CHECKED_VIEW) });
    if (!response.ok) throw new Error(await response.text());
  }

  /** True: acknowledged. @throws when the connection breaks. */
  async put(id: string): Promise<boolean> {
    const n = this.#ledger.next();
    const body = JSON.stringify({ features: featuresOf(id, n), ...versionOf(id, n) });
    const response = await fetch(`${this.#base}/records/${id}`, { method: 'PUT', body });
    const text = await response.text();
    if (response.status !== 200) return this.#refuse(response.status, text);
    const { version, applied } = JSON.parse(text) as { version: number; applied: boolean };
    if (hasServerVersions(id) && !applied)
      this.faults.push(`${id}: the server's own version was not applied`);
    this.#ledger.acknowledge(id, version);
    return true;
  }

  /** Loads a record for each id by one request. True: all are acknowledged. @throws when the connection breaks. */
  async load(ids: readonly string[]): Promise<boolean> {
    const rows = ids.map(id => ({ id, n: this.#ledger.next() }));
    const lines = rows.map(({ id, n }) =>
      JSON.stringify({ id, features: featuresOf(id, n), ...versionOf(id, n) }),
    );
    const response = await fetch(`${this.#base}/records`, {
      method: 'POST',
      body: lines.join('\n'),
      headers: { 'content-type': 'application/x-ndjson' },
    });
    const text = await response.text();
    if (response.status !== 200) return this.#refuse(response.status, text);
    const { applied, stale, failed } = JSON.parse(text) as Record<string, number>;
    if (failed !== 0 || (applied ?? 0) + (stale ?? 0) !== ids.length) this.faults.push(`a load: ${text}`);
    // The server's versions are not told by a load; that the record is there is.
    for (const { id, n } of rows) this.#ledger.acknowledge(id, hasServerVersions(id) ? 1 : n);
    return true;
  }

  /** Reads the ids and checks each. @throws when the connection breaks. */
  async check(ids: readonly string[]): Promise<void> {
    for (let at = 0; at < ids.length; at += LOOKUP_IDS_MAX)
      await this.#checkSome(ids.slice(at, at + LOOKUP_IDS_MAX));
  }

  /** Reads one record by its path. True: it was found in shared memory. @throws when the connection breaks. */
  async get(id: string): Promise<boolean> {
    const floor = this.#ledger.floorOf(id);
    const response = await fetch(`${this.#base}/records/${id}`);
    const text = await response.text();
    if (response.status === 404) this.#note({ id, version: undefined, features: {} }, floor);
    else if (response.status !== 200) return this.#refuse(response.status, text);
    else this.#note(JSON.parse(text), floor);
    const isHit = response.headers.get('cache-status')?.includes('hit') === true;
    if (isHit) this.hits++;
    return isHit;
  }

  async #checkSome(ids: readonly string[]): Promise<void> {
    const floors = ids.map(id => this.#ledger.floorOf(id));
    const response = await fetch(`${this.#base}/lookup`, { method: 'POST', body: JSON.stringify({ ids }) });
    const text = await response.text();
    if (response.status !== 200) {
      this.#refuse(response.status, text);
      return;
    }
    const { features: names, statuses, versions, columns } = JSON.parse(text) as LookupBody;
    for (const [row, id] of ids.entries()) {
      if (statuses[row] === 'UNAVAILABLE') {
        this.#refuse(503, `${id} is unavailable`);
        continue;
      }
      const features = Object.fromEntries(names.map((name, at) => [name, columns[at]?.[row]]));
      this.#note({ id, version: versions[row] ?? undefined, features }, floors[row] ?? 0);
    }
  }

  #note(seen: { id: string; version: number | undefined; features: Features }, floor: number): void {
    this.reads++;
    const fault = this.#ledger.fault(seen, floor);
    if (fault !== undefined) this.faults.push(fault);
  }

  #refuse(status: number, text: string): false {
    this.refused.set(status, (this.refused.get(status) ?? 0) + 1);
    if (!this.#allowed.has(status)) this.faults.push(`status ${status}: ${text.slice(0, 300)}`);
    return false;
  }
}

function versionOf(id: string, n: number): { version?: number } {
  return hasServerVersions(id) ? {} : { version: n };
}
