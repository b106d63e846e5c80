/** What a writer refuses of a float model, found by writing it without its numbers before any work is done. */
import { fail, QuantError } from '../../base/errors.js';
import { label, type Node } from '../../ir/graph.js';
import type { Model } from '../../ir/model.js';
import { unquantized } from '../../scheme/quantized.js';
import type { StaysFloat } from '../types.js';
import { layersOf, type Layers, type Sizes } from './layers.js';

/** Size of axes that are named only: what is refused does not depend on it. */
const ANY_SIZE = 16;

/** Sizes of a model's inputs for one sample. */
export const anyExample = ({ graph }: Model): Sizes =>
  Object.fromEntries(
    graph.inputs.flatMap((v) => {
      if (v.data || !v.shape) return [];
      return [[v.name, { dims: v.shape.map((d, i) => (typeof d === 'number' ? d : i === 0 ? 1 : ANY_SIZE)) }] as const];
    }),
  );

/** The layers of a float model, nothing of which is quantized. Throws what {@link layersOf} throws. */
export const floatLayers = (model: Model, example: Sizes = anyExample(model)): Layers =>
  layersOf(unquantized(model), example);

/** Nodes whose bodies run or not, or several times. */
export const controlFlow = ({ graph }: Model): StaysFloat[] =>
  [...graph.nodes].flatMap((n) =>
    n.subgraphs().length ? [{ node: label(n), op: n.op, because: 'it is control flow' }] : [],
  );

/** What `find` finds, control flow, or the place at which the layers of a model cannot be read. */
export function refusing(model: Model, find: () => readonly StaysFloat[]): readonly StaysFloat[] {
  const bodies = controlFlow(model);
  if (bodies.length) return bodies;
  try {
    return find();
  } catch (error) {
    if (!(error instanceof QuantError) || error.code !== 'EXPORT_UNSUPPORTED') throw error;
    return [{ node: error.where.node ?? error.where.tensor ?? model.graph.name, op: 'graph', because: error.message }];
  }
}

/** Why an operator is refused that no writer knows. */
export const absent = ({ domain, op }: Pick<Node, 'domain' | 'op'>): string =>
  `there is no ${domain ? `${domain}.` : ''}${op}`;

/** Each node of operators that are not in `known`, those of the standard domain. */
export const refusalsByName = ({ graph }: Model, known: ReadonlySet<string>): StaysFloat[] =>
  [...graph.nodes].flatMap((n) =>
    n.domain === '' && known.has(n.op) ? [] : [{ node: label(n), op: n.op, because: absent(n) }],
  );

/** Throws EXPORT_UNSUPPORTED for the first of what a writer refused. */
export function assertTaken(runtime: string, [first]: readonly StaysFloat[]): void {
  if (first)
    fail('EXPORT_UNSUPPORTED', `${runtime} cannot take '${first.node}' (${first.op}): ${first.because}`, {
      node: first.node,
    });
}

export const opsetOf = ({ opsets }: Model): number => opsets.get('') ?? 1;
