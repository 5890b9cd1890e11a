/** Figures of connections and commands, counted from the driver's own monitoring events; and who is told of slow ones. */
import type { CommandFailedEvent, CommandSucceededEvent, MongoClient } from 'mongodb';

export interface MongoCommandFigures {
  count: number;
  /** Of `count`: no reply came, or one that says that the command failed. */
  errors: number;
  totalMs: number;
}

export interface MongoFigures {
  /** Since the start. */
  readonly connectionsCreated: number;
  readonly connectionsInUse: number;
  readonly connectionsAvailable: number;
  /** Connections that could not be had, most of them within `waitQueueTimeoutMS`. */
  readonly checkOutsFailed: number;
  /** By name, as the server knows them: `find`, `update`, … */
  readonly commands: Readonly<Record<string, Readonly<MongoCommandFigures>>>;
}

export interface SlowCommand {
  readonly command: string;
  readonly database: string;
  /** Host and port of the server that was asked. */
  readonly server: string;
  readonly durationMs: number;
  readonly failed: boolean;
}

export interface MongoMonitorOptions {
  /** A command that takes longer is a slow one. */
  readonly slowMs: number;
  readonly onSlow: ((command: SlowCommand) => void) | undefined;
}

export class MongoMonitor {
  readonly #options: MongoMonitorOptions;
  readonly #commands = new Map<string, MongoCommandFigures>();
  readonly #ready = new Set<string>();
  readonly #inUse = new Set<string>();
  #created = 0;
  #checkOutsFailed = 0;

  constructor(client: MongoClient, options: MongoMonitorOptions) {
    this.#options = options;
    const nameOf = (event: { address: string; connectionId: number | '<monitor>' }) =>
      `${event.address} ${event.connectionId}`;
    client.on('connectionCreated', () => {
      this.#created++;
    });
    client.on('connectionReady', event => this.#ready.add(nameOf(event)));
    client.on('connectionCheckedOut', event => this.#inUse.add(nameOf(event)));
    client.on('connectionCheckedIn', event => this.#inUse.delete(nameOf(event)));
    client.on('connectionCheckOutFailed', () => {
      this.#checkOutsFailed++;
    });
    client.on('connectionClosed', event => {
      this.#ready.delete(nameOf(event));
      this.#inUse.delete(nameOf(event));
    });
    client.on('commandSucceeded', event => this.#ended(event, false));
    client.on('commandFailed', event => this.#ended(event, true));
  }

  figures(): MongoFigures {
    return {
      connectionsCreated: this.#created,
      connectionsInUse: this.#inUse.size,
      connectionsAvailable: this.#ready.size - this.#inUse.size,
      checkOutsFailed: this.#checkOutsFailed,
      commands: Object.fromEntries([...this.#commands].map(([name, figures]) => [name, { ...figures }])),
    };
  }

  #ended(event: CommandSucceededEvent | CommandFailedEvent, failed: boolean): void {
    const { commandName: command, databaseName: database, address: server, duration: durationMs } = event;
    let figures = this.#commands.get(command);
    if (figures === undefined) {
      figures = { count: 0, errors: 0, totalMs: 0 };
      this.#commands.set(command, figures);
    }
    figures.count++;
    figures.totalMs += durationMs;
    if (failed) figures.errors++;
    const { slowMs, onSlow } = this.#options;
    if (durationMs > slowMs) onSlow?.({ command, database, server, durationMs, failed });
  }
}
