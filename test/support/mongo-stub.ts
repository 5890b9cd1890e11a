/**
 * A stand-in for MongoDB where only FerretDB can be had: speaks the wire protocol to the real driver, and does with a
 * handful of commands what MongoDB documents and FerretDB does not. An update is one step, an unordered bulk write goes
 * on after an error and says which writes it is of, and a majority may fail to acknowledge.
 *
 * It knows what the tier sends and nothing else: OP_MSG, one id or several by `$in`, replacement by id and by a version that
 * is smaller or the same, or by its time.
 */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { BSON, type Document, Long } from 'mongodb';

const HEADER_BYTES = 16;
const OP_MSG = 2013;
const DUPLICATE_KEY = 11_000;
const BATCH_BYTES_MAX = 16 * 2 ** 20;

interface Replacement {
  readonly q: {
    readonly _id: string;
    readonly version?: Long | { readonly $lt: Long };
    readonly expireAt?: { readonly $lte: Date };
  };
  readonly u: Document;
  readonly upsert?: boolean;
}

export class MongoStub {
  /** By collection, the documents by id. */
  readonly #collections = new Map<string, Map<string, Document>>();
  readonly #server = createServer(socket => this.#serve(socket));
  readonly #sockets = new Set<Socket>();
  readonly #cursors = new Map<number, Document[]>();
  /** The commands so far, but for those of the handshake. */
  readonly commands: string[] = [];
  /** Called before each write of an update: what another client does first. */
  beforeWrite: (id: string) => void = () => undefined;
  /** Called before each `find`. */
  beforeRead: () => void = () => undefined;
  /** What the next update says of its majority. */
  writeConcernError: Document | undefined;

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return `mongodb://127.0.0.1:${address.port}/test?directConnection=true`;
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
  }

  /** As another client would. */
  put(collection: string, document: Document): void {
    this.#documents(collection).set(document['_id'], document);
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined);
    let pending = Buffer.alloc(0);
    socket.on('data', chunk => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 4 && pending.length >= pending.readInt32LE(0)) {
        const message = pending.subarray(0, pending.readInt32LE(0));
        pending = pending.subarray(message.length);
        socket.write(answerTo(message, this.#answer(commandIn(message))));
      }
    });
  }

  #answer(command: Document): Document {
    const [name = ''] = Object.keys(command);
    if (name === 'hello' || name === 'ismaster' || name === 'isMaster') return HELLO;
    if (name === 'buildInfo') return { version: '8.0.0', ok: 1 };
    this.commands.push(name);
    const documents = this.#documents(command[name]);
    switch (name) {
      case 'find':
        return this.#find(
          command[name],
          '_id' in command['filter'] ? idsIn(command['filter']) : [...documents.keys()],
          documents,
          command['projection'],
        );
      case 'getMore':
        return this.#batch(
          command['collection'],
          this.#cursors.get(Number(command['getMore'])) ?? [],
          'nextBatch',
        );
      case 'update':
        return this.#update(command['updates'], documents);
      case 'delete':
        for (const { q } of command['deletes']) for (const id of idsIn(q)) documents.delete(id);
        return { n: 0, ok: 1 };
      case 'drop':
        this.#collections.delete(command[name]);
        return { ok: 1 };
      case 'createIndexes':
      case 'endSessions':
        return { ok: 1 };
      default:
        return { ok: 0, code: 59, errmsg: `no such command: '${name}'` };
    }
  }

  #find(
    collection: string,
    ids: readonly string[],
    documents: Map<string, Document>,
    fields: Document,
  ): Document {
    this.beforeRead();
    const found = [...new Set(ids)].reverse().flatMap(id => documents.get(id) ?? []);
    const names = ['_id', ...Object.keys(fields)];
    const picked = found.map(document => Object.fromEntries(names.map(name => [name, document[name]])));
    return this.#batch(collection, picked, 'firstBatch');
  }

  /** As many documents as a reply may hold; the rest waits for `getMore`. */
  #batch(collection: string, documents: Document[], field: 'firstBatch' | 'nextBatch'): Document {
    let bytes = 0;
    const fits = documents.findIndex(document => {
      bytes += BSON.calculateObjectSize(document);
      return bytes > BATCH_BYTES_MAX;
    });
    const count = fits <= 0 ? documents.length : fits;
    const id = count < documents.length ? this.#cursors.size + 1 : 0;
    if (id !== 0) this.#cursors.set(id, documents.slice(count));
    const cursor = { id: Long.fromNumber(id), ns: `test.${collection}`, [field]: documents.slice(0, count) };
    return { cursor, ok: 1 };
  }

  #update(updates: readonly Replacement[], documents: Map<string, Document>): Document {
    const writeErrors: Document[] = [];
    const upserted: Document[] = [];
    let unmatched = 0;
    updates.forEach(({ q, u, upsert }, index) => {
      this.beforeWrite(q._id);
      const held = documents.get(q._id);
      const isMatch = held !== undefined && matches(held, q);
      if (!isMatch && upsert !== true) {
        unmatched++;
        return;
      }
      if (!isMatch && held !== undefined) {
        writeErrors.push({ index, code: DUPLICATE_KEY, errmsg: 'E11000 duplicate key error' });
        return;
      }
      if (held === undefined) upserted.push({ index, _id: q._id });
      documents.set(q._id, { _id: q._id, ...u });
    });
    const n = updates.length - writeErrors.length - unmatched;
    const { writeConcernError } = this;
    this.writeConcernError = undefined;
    return {
      n,
      nModified: n - upserted.length,
      ...(upserted.length > 0 && { upserted }),
      ...(writeErrors.length > 0 && { writeErrors }),
      ...(writeConcernError !== undefined && { writeConcernError }),
      ok: 1,
    };
  }

  #documents(collection: string): Map<string, Document> {
    let documents = this.#collections.get(collection);
    if (documents === undefined) {
      documents = new Map();
      this.#collections.set(collection, documents);
    }
    return documents;
  }
}

const HELLO = {
  helloOk: true,
  isWritablePrimary: true,
  maxBsonObjectSize: 16 * 2 ** 20,
  maxMessageSizeBytes: 48_000_000,
  maxWriteBatchSize: 100_000,
  minWireVersion: 0,
  maxWireVersion: 25,
  logicalSessionTimeoutMinutes: 30,
  ok: 1,
};

/** The command of an OP_MSG (or of the handshake's OP_QUERY), its document sequences as arrays. */
function commandIn(message: Buffer): Document {
  if (message.readInt32LE(12) !== OP_MSG) return { hello: 1 };
  let command: Document = {};
  const sequences: Record<string, Document[]> = {};
  for (let at = HEADER_BYTES + 4; at < message.length; ) {
    const kind = message[at++];
    const end = at + message.readInt32LE(at);
    if (kind === 0) command = documentAt(message, at);
    else {
      const nameEnd = message.indexOf(0, at + 4);
      const documents: Document[] = [];
      for (let next = nameEnd + 1; next < end; next += message.readInt32LE(next)) {
        documents.push(documentAt(message, next));
      }
      sequences[message.toString('utf8', at + 4, nameEnd)] = documents;
    }
    at = end;
  }
  return { ...command, ...sequences };
}

function matches(held: Document, { version, expireAt }: Replacement['q']): boolean {
  if (expireAt !== undefined && !(held['expireAt'] <= expireAt.$lte)) return false;
  if (version === undefined) return true;
  const known = Long.fromValue(held['version']);
  return '$lt' in version ? known.lessThan(version.$lt) : known.equals(version);
}

function idsIn({ _id }: Document): readonly string[] {
  return typeof _id === 'string' ? [_id] : _id['$in'];
}

/** What is stored is kept as it came: int64 as `Long`, bytes as `Binary`. */
function documentAt(message: Buffer, at: number): Document {
  return BSON.deserialize(message.subarray(at, at + message.readInt32LE(at)), {
    promoteLongs: false,
    promoteValues: true,
    promoteBuffers: false,
  });
}

function answerTo(request: Buffer, reply: Document): Buffer {
  const isQuery = request.readInt32LE(12) !== OP_MSG;
  const body = BSON.serialize(reply);
  // OP_REPLY has 20 bytes before its document, OP_MSG the flags and the kind of its one section.
  const head = Buffer.alloc(HEADER_BYTES + (isQuery ? 20 : 5));
  head.writeInt32LE(head.length + body.length, 0);
  head.writeInt32LE(request.readInt32LE(4), 8);
  head.writeInt32LE(isQuery ? 1 : OP_MSG, 12);
  if (isQuery) head.writeInt32LE(1, HEADER_BYTES + 16);
  return Buffer.concat([head, body]);
}
