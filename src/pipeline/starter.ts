/** Which format suits a model, found by planning: what `quantize init` writes down. */
import { assertMoreThanTrees } from './nothing.js';
import { QuantError } from '../base/errors.js';
import type { Model } from '../ir/graph.js';
import { allGraphs } from '../ir/graph.js';
import { specOf } from '../ops/index.js';
import { cloneModel } from '../ir/clone.js';
import { resolveRecipe } from '../recipe/load.js';
import { optimizeModel, planModel } from './prepare.js';
import { macsOf } from './facts.js';

export interface Suited {
  readonly format: 'qdq' | 'dynamic' | 'coded';
  /** Why, in a line. */
  readonly because: string;
}

/** Recurrent cells and attention: ranges of their activations are found at run time. */
const AT_RUN_TIME: ReadonlySet<string> = new Set([
  'LSTM',
  'GRU',
  'RNN',
  'Attention',
  'MultiHeadAttention',
  'GroupQueryAttention',
]);

/**
 * The first format of those that suit which has something to quantize in the model, from `file`. Convolutions take
 * static int8; transformers, recurrent nets and other products take ranges at run time. Throws QUANTIZE_NOTHING where
 * no format has anything to do, MODEL_QUANTIZED, and what cleaning throws.
 */
export async function suitedFormat(model: Model, file: string): Promise<Suited> {
  assertMoreThanTrees(model);
  const { model: cleaned } = cloneModel(model);
  const { recipe } = await resolveRecipe({ version: 1, model: file, quantize: { format: 'dynamic' } });
  await optimizeModel(cleaned, file, recipe.optimize, () => undefined);
  const order = preferred(cleaned);
  let refused: QuantError | undefined;
  for (const found of order) {
    const planned = await resolveRecipe({
      version: 1,
      model: file,
      quantize: { format: found.format },
      calibration: { data: { npy: 'any.npy' } },
    });
    try {
      planModel(cloneModel(cleaned).model, planned.recipe, () => undefined);
      return found;
    } catch (error) {
      if (!(error instanceof QuantError)) throw error;
      refused ??= error;
    }
  }
  throw refused ?? new QuantError('QUANTIZE_NOTHING', 'nothing in the model can be quantized');
}

function preferred(model: Model): Suited[] {
  const nodes = [...allGraphs(model.graph)].flatMap((g) => [...g.nodes]);
  const sum = (test: (op: string) => boolean): number =>
    nodes.reduce((n, x) => n + (specOf(x)?.quant.role === 'compute' && test(x.op) ? macsOf(x) : 0), 0);
  const [convolutions, products] = [sum((op) => op.startsWith('Conv')), sum((op) => !op.startsWith('Conv'))];
  const cells = [...new Set(nodes.filter((n) => AT_RUN_TIME.has(n.op)).map((n) => n.op))];
  const softmax = nodes.some(
    (n) => n.op === 'Softmax' && n.outputs[0]?.uses.size && [...n.outputs[0].uses].some((u) => u.node.op === 'MatMul'),
  );
  const dynamic: Suited = {
    format: 'dynamic',
    because: cells.length
      ? `it has ${cells.join(', ')}`
      : softmax
        ? 'it is a transformer'
        : 'matrix products are most of the work',
  };
  const qdq: Suited = { format: 'qdq', because: 'convolutions are most of the work' };
  const coded: Suited = {
    format: 'coded',
    because: 'no integer kernel has anything to do here: the weights are only stored in fewer bits',
  };
  return cells.length || softmax || products >= convolutions
    ? [dynamic, { ...qdq, because: dynamic.because }, coded]
    : [qdq, dynamic, coded];
}
