/** What is used of uWebSockets.js, typed narrowly: whatever release is loaded must have this. */

export type UwsBytes = string | ArrayBuffer | Uint8Array;

/** Unusable after the answer is complete or `onAborted` was called: every method then throws. */
export interface UwsResponse {
  writeStatus(status: UwsBytes): this;
  writeHeader(name: UwsBytes, value: UwsBytes): this;
  /** Copies what the socket does not take at once. */
  end(body: UwsBytes, closeConnection: boolean): this;
  /** Without `content-length`. (With a length given, 20.51 never completes the answer.) */
  endWithoutBody(): this;
  tryEnd(rest: UwsBytes, totalBytes: number): [ok: boolean, done: boolean];
  /** Bytes of the body that the socket has taken. */
  getWriteOffset(): number;
  onWritable(callback: (offset: number) => boolean): this;
  onAborted(callback: () => void): this;
  /** The chunk is detached when the callback returns. */
  onData(callback: (chunk: ArrayBuffer, last: boolean) => void): this;
  pause(): void;
  resume(): void;
  cork(callback: () => void): this;
  close(): this;
}

/** Unusable after the handler returned. */
export interface UwsRequest {
  getCaseSensitiveMethod(): string;
  getUrl(): string;
  getQuery(): string | undefined;
  getHeader(lowerCaseName: UwsBytes): string;
  forEach(callback: (name: string, value: string) => void): void;
}

export interface UwsListenSocket {
  readonly uwsListenSocket: never;
}

export interface UwsApp {
  get(pattern: string, handler: (res: UwsResponse, req: UwsRequest) => void): this;
  any(pattern: string, handler: (res: UwsResponse, req: UwsRequest) => void): this;
  /** Called with 1 when a connection opened and with -1 when it closed. */
  filter(callback: (res: UwsResponse, change: number) => void): this;
  listen(
    host: string,
    port: number,
    options: number,
    callback: (socket: UwsListenSocket | false) => void,
  ): this;
  close(): this;
}

export interface UwsModule {
  App(): UwsApp;
  us_listen_socket_close(socket: UwsListenSocket): void;
  us_socket_local_port(socket: UwsListenSocket): number;
  readonly LIBUS_LISTEN_EXCLUSIVE_PORT: number;
}
