/** Texts as the generated reader has them: the library's own decoder takes a byte order mark at the front away. */
import { Encoding } from 'flatbuffers';

export const UTF8 = Encoding.UTF8_BYTES;

export function textOf(bytes: string | Uint8Array): string {
  return Buffer.from(bytes as Uint8Array).toString();
}
