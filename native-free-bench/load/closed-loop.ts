/**
 * The closed loop: each connection sends its next request when the last was answered. For CPU time per request and
 * throughput; its latencies leave out whatever the server made wait, so they are not reported (see `open-loop.ts`).
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ClosedOutcome, ClosedRun } from './autocannon-child.js';

const CHILD = fileURLToPath(new URL('./autocannon-child.js', import.meta.url));

type Reply = { readonly outcome: ClosedOutcome } | { readonly error: string };

export class ClosedLoop {
  #child: ChildProcess | undefined;

  async run(job: ClosedRun): Promise<ClosedOutcome> {
    const child = this.#child ?? (await startChild());
    this.#child = child;
    const replied = new Promise<Reply>((resolve, reject) => {
      const onExit = () => reject(new Error('the load generator ended'));
      child.once('exit', onExit);
      child.once('message', (reply: Reply) => {
        child.off('exit', onExit);
        resolve(reply);
      });
    });
    child.send(job);
    const reply = await replied;
    if ('error' in reply) throw new Error(`the load generator failed: ${reply.error}`);
    return reply.outcome;
  }

  async close(): Promise<void> {
    if (this.#child === undefined) return;
    const exited = once(this.#child, 'exit');
    this.#child.disconnect();
    this.#child = undefined;
    await exited;
  }
}

async function startChild(): Promise<ChildProcess> {
  const child = fork(CHILD, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  await once(child, 'message');
  return child;
}
