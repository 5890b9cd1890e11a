/** The headers of requests that are read one by one, and those that go out with a hit. */

export interface HeaderName {
  readonly text: string;
  /** uWebSockets.js takes a name as bytes in two thirds of the time of a string. */
  readonly bytes: ArrayBuffer;
}

export const ACCEPT = named('accept');
export const AUTHORIZATION = named('authorization');
export const CONTENT_ENCODING = named('content-encoding');
export const CONTENT_LENGTH = named('content-length');
export const CONTENT_TYPE = named('content-type');
export const IF_NONE_MATCH = named('if-none-match');
/** Says which reads belong together, and nothing else. */
export const SESSION = named('headrace-session');
export const TIMING = named('headrace-timing');
export const TRANSFER_ENCODING = named('transfer-encoding');

function named(text: string): HeaderName {
  return { text, bytes: new TextEncoder().encode(text).buffer };
}
