/**
 * The closed loop's process: runs autocannon when told to, one run after the other, so that the load's CPU time and
 * the server's are apart and the bench's own thread is free.
 */
import autocannon from 'autocannon';

export interface ClosedRequest {
  readonly method: 'GET' | 'PUT' | 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface ClosedRun {
  readonly url: string;
  readonly connections: number;
  readonly durationMs: number;
  /** Gone through in turn by each connection, starting at different places. */
  readonly requests: readonly ClosedRequest[];
}

export interface ClosedOutcome {
  readonly responses: number;
  /** Broken connections, timeouts, and responses other than 2xx. */
  readonly errors: number;
  readonly elapsedMs: number;
}

/** A short sampling interval, since autocannon ends only with one. */
const SAMPLE_MS = 25;

function run(job: ClosedRun): Promise<ClosedOutcome> {
  const { url, connections, requests } = job;
  let startedMs = performance.now();
  let client = 0;
  const rotated = () => {
    const from = Math.floor((client++ * requests.length) / connections);
    // Copies: each connection writes its ready-made request into them.
    return [...requests.slice(from), ...requests.slice(0, from)].map(request => ({ ...request }));
  };
  return new Promise((resolve, reject) => {
    const options: autocannon.Options = {
      url,
      connections,
      pipelining: 1,
      duration: job.durationMs / 1000,
      sampleInt: SAMPLE_MS,
      timeout: 10,
      setupClient: each => each.setRequests(rotated()),
    };
    const running = autocannon(options, (error: unknown, result: autocannon.Result) => {
      if (error !== null && error !== undefined) return reject(error);
      const elapsedMs = performance.now() - startedMs;
      resolve({ responses: result.requests.total, errors: result.errors + result.non2xx, elapsedMs });
    });
    running.once('start', () => {
      startedMs = performance.now();
    });
  });
}

process.on('message', (job: ClosedRun) => {
  run(job).then(
    outcome => process.send?.({ outcome }),
    (error: unknown) => process.send?.({ error: error instanceof Error ? error.message : String(error) }),
  );
});
// The bench has ended, perhaps without saying so.
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
