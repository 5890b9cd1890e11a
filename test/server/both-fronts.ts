/** One table of cases against a real server of each front, and what the cases share: views of their own, checks of problems. */
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { FRONTS } from '../front/fronts.js';
import { type Answer, ApiClient } from './api-client.js';
import { type ServerProcess, startServerProcess } from './server-process.js';

export type FrontName = (typeof FRONTS)[number];

export interface Subject {
  readonly front: FrontName;
  /** Only within tests: the server runs from the first test on. */
  readonly api: ApiClient;
  readonly server: ServerProcess;
  /** Declares a view of a new name; features by name, an array where their order is not that of an object. */
  view(features: Features, options?: Readonly<Record<string, unknown>>): Promise<string>;
}

export type Features = Readonly<Record<string, string>> | readonly (readonly [name: string, type: string])[];

/** Runs the tests against a server on each front; the name says what they are about. */
export function onBothFronts(
  name: string,
  define: (subject: Subject) => void,
  env: Readonly<Record<string, string>> = {},
): void {
  describe.each(FRONTS)(`${name}, %s front`, front => {
    let started: { server: ServerProcess; api: ApiClient } | undefined;
    let views = 0;
    const running = () => {
      if (started === undefined) throw new Error('the server runs only within tests');
      return started;
    };
    beforeAll(async () => {
      const server = await startServerProcess({ env: { HEADRACE_FRONT: front, ...env } });
      started = { server, api: new ApiClient(server.port) };
    });
    afterAll(async () => {
      started?.api.close();
      const exit = await started?.server.stop();
      // Whatever the tests sent, the server ends as it should, and nothing was a bug.
      expect(exit).toEqual({ code: 0, signal: null });
      expect(started?.server.log.filter(isFailure)).toEqual([]);
      expect(started?.server.errorOutput).toBe('');
    });
    define({
      front,
      get api() {
        return running().api;
      },
      get server() {
        return running().server;
      },
      async view(features, options = {}) {
        views++;
        const view = `view-${views}`;
        const answer = await running().api.put(`/v1/views/${view}`, viewBody(features, options));
        expect([answer.status, answer.text]).toEqual([201, JSON.stringify({ view, schema: 1 })]);
        return view;
      },
    });
  });
}

/** Levels of pino: 50 is an error. */
function isFailure({ level }: Readonly<Record<string, unknown>>): boolean {
  return Number(level) >= 50;
}

/** The body that declares a view, its features in the order given. */
export function viewBody(features: Features, options: Readonly<Record<string, unknown>> = {}): string {
  const pairs = Array.isArray(features) ? features : Object.entries(features);
  const members = pairs.map(([name, type]) => `${JSON.stringify(name)}:${JSON.stringify(type)}`).join();
  const rest = JSON.stringify({ entity: 'doc', ...options });
  return `${rest.slice(0, -1)},"features":{${members}}}`;
}

export interface ProblemBody {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly errors?: readonly { readonly at: string; readonly detail: string }[];
}

/** The answer is this problem, as RFC 9457 wants it; for further checks, its body. */
export function expectProblem(answer: Answer, status: number, code: string): ProblemBody {
  expect(`${answer.status} ${answer.text.slice(0, 500)}`).toContain(
    `${status} {"type":"urn:headrace:problem:${code}"`,
  );
  expect(answer.headers['content-type']).toBe('application/problem+json');
  const problem = answer.json() as ProblemBody;
  expect(problem).toMatchObject({
    status,
    title: expect.stringMatching(/./),
    detail: expect.stringMatching(/./),
  });
  return problem;
}

/** Where the problem's errors are. */
export function placesOf(problem: ProblemBody): string[] {
  return (problem.errors ?? []).map(({ at }) => at);
}

/** Asks again and again until the answer is as wanted; who waits in vain runs into the test's time limit. */
export async function untilAnswer(
  ask: () => Promise<Answer>,
  wanted: (answer: Answer) => boolean,
): Promise<Answer> {
  for (;;) {
    const answer = await ask();
    if (wanted(answer)) return answer;
  }
}
