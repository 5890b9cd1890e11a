/** `/v1/views` and `/v1/views/{view}`: declare, list, show, drop. */
import { HeadraceError } from '../base/errors.js';
import { JSON_TYPE } from '../base/media.js';
import type { InvalidationFigures } from '../observe/invalidation-counts.js';
import type { ViewRegistry } from '../views/registry.js';
import type { View } from '../views/schema.js';
import { nameProblem, readViewDefinition, viewJson } from '../views/view-json.js';
import type { AnswerError } from './answer-error.js';
import { BYPASSED, FORWARDED } from './cache-status.js';
import type { Exchange, Headers } from './front.js';
import type { RouteHandlers } from './routes.js';

export interface ViewFigures {
  /** How many there were, by what caused them. */
  readonly invalidations: InvalidationFigures;
}

export interface ViewHandlerOptions {
  readonly views: ViewRegistry;
  /** `undefined`: there is none to show. */
  readonly figuresOf: (view: View) => ViewFigures | undefined;
  readonly bodyBytesMax: number;
  readonly answerError: AnswerError;
}

const READ: Headers = ['content-type', JSON_TYPE, ...BYPASSED];
const DECLARED: Headers = ['content-type', JSON_TYPE, ...FORWARDED];

export function viewHandlers({
  views,
  figuresOf,
  bodyBytesMax,
  answerError,
}: ViewHandlerOptions): Pick<RouteHandlers, 'view' | 'views'> {
  function show(exchange: Exchange, name: string): void {
    const view = views.get(name);
    if (view === undefined) throw new HeadraceError('view-not-found', `there is no view ${name}`);
    const figures = figuresOf(view);
    const shown = viewJson(view);
    const more = figures === undefined ? '' : `,"figures":${JSON.stringify(figures)}`;
    exchange.respond(200, READ, `${shown.slice(0, -1)}${more}}`);
  }

  function list(exchange: Exchange): void {
    exchange.respond(200, READ, `{"views":[${views.list().map(viewJson).join(',')}]}`);
  }

  function declare(exchange: Exchange, name: string): void {
    const problem = nameProblem(name);
    if (problem !== undefined) throw new HeadraceError('bad-name', `the view's name ${problem}`);
    exchange.readBody(bodyBytesMax, (body, kept) => {
      declared(name, body)
        .then(({ status, text }) => kept.respond(status, DECLARED, text))
        .catch(error => answerError(kept, error));
    });
  }

  async function declared(name: string, body: Uint8Array): Promise<{ status: number; text: string }> {
    const { view, outcome } = await views.declare(name, readViewDefinition(body));
    const text = JSON.stringify({ view: view.name, schema: view.schema });
    return { status: outcome === 'created' ? 201 : 200, text };
  }

  function drop(exchange: Exchange, name: string): void {
    const kept = exchange.later();
    views
      .drop(name)
      .then(() => kept.respond(204, FORWARDED, ''))
      .catch(error => answerError(kept, error));
  }

  return { views: { GET: list, HEAD: list }, view: { GET: show, HEAD: show, PUT: declare, DELETE: drop } };
}
