/**
 * Hedged requests: a read that has no answer after a while is sent a second time, and the first answer counts (Dean and
 * Barroso, "The Tail at Scale", 2013). At most one request in ten is, so that a slow server is not asked twice as much.
 */

const PER_REQUEST = 0.1;
const SAVED_MAX = 10;

export class HedgeBudget {
  #saved = SAVED_MAX;

  /** A request was sent that might be hedged. */
  earn(): void {
    this.#saved = Math.min(SAVED_MAX, this.#saved + PER_REQUEST);
  }

  /** Whether another may be sent. */
  spend(): boolean {
    if (this.#saved < 1) return false;
    this.#saved--;
    return true;
  }
}

/**
 * The first answer of one request or two.
 * @param begin sends one, and gives it up when the signal says so.
 * @param maySend asked when the time has come.
 */
export function hedged<T>(
  begin: (attempt: AbortController) => Promise<T>,
  attempt: () => AbortController,
  afterMs: number,
  maySend: () => boolean,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const sent: AbortController[] = [];
    let running = 0;
    let timer: NodeJS.Timeout | undefined;
    const settle = (tell: () => void) => {
      clearTimeout(timer);
      tell();
      // The one that has answered is over; giving it up does nothing.
      for (const other of sent) other.abort();
    };
    const send = () => {
      const controller = attempt();
      sent.push(controller);
      running++;
      begin(controller).then(
        answer => settle(() => resolve(answer)),
        error => {
          if (--running === 0) settle(() => reject(error));
        },
      );
    };
    send();
    timer = setTimeout(() => {
      if (maySend()) send();
    }, afterMs);
  });
}
