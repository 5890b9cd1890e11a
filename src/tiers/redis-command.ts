/** Commands whose replies are left as they come: buffers, numbers, arrays of these. */
import { Command } from 'ioredis';

/** As ioredis reads it; its types leave `null` out where properties are exact. */
export const RAW_REPLY = { replyEncoding: null } as unknown as { replyEncoding?: null };

export function rawCommand(name: string, args: (string | Buffer | number)[]): Command {
  return new Command(name, args, RAW_REPLY);
}
