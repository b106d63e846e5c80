/** Products with quantized weights get a term of low rank that makes up for most of what the codes lose. */
import { feedsOf } from '../data/batch.js';
import { fail } from '../base/errors.js';
import { filled } from '../base/lists.js';
import { bytesText } from '../base/text.js';
import { layerShape, rowsOfLayer, type LayerShape } from '../channels/layer.js';
import { lowRankError, lowRankOutputs } from '../codes/low-rank-error.js';
import { moments, type Moments } from '../compress/output-moments.js';
import type { Feed } from '../ir/feed.js';
import type { Node } from '../ir/graph.js';
import { dataOf } from '../ir/known.js';
import type { LowRankTerm } from '../scheme/quantized.js';
import type { QuantPoint } from '../scheme/types.js';
import { calibrationBatches, type Surroundings } from './adjust.js';
import { measureLayers } from './encode.js';
import type { RefinedVariant } from './variant/types.js';

type Refined = { readonly refined: RefinedVariant; readonly line: string };

/** Elements of all matrices Σ x·xᵀ together that are held: 1 GB. Beyond it, inputs count by their mean squares. */
const MOST = 2 ** 27;

/**
 * As given where the recipe does not ask for it. The codes are chosen already: the weights of the model are what they
 * mean. Throws MODEL_UNSUPPORTED where there is no such product.
 */
export async function correctLowRank({ refined: v, line }: Refined, o: Surroundings): Promise<Refined> {
  const { quantize, calibration } = v.recipe.recipe;
  const { lowRank } = quantize.weights;
  if (!lowRank) return { refined: v, line };
  if (v.asks.qat || v.recipe.recipe.exports?.length)
    fail(
      'RECIPE_INVALID',
      `quantize.weights.lowRank does not go with ${v.asks.qat ? 'training of quantized weights' : 'exports'}`,
      {},
      v.asks.qat ? 'set train.quantized: false' : 'leave exports out: other files have no place for the two matrices',
    );
  const { planned } = v.prepared;
  const layers = v.model.graph
    .topological()
    .filter((n) => planned.weightOnlyNodes.has(n))
    .flatMap((n) => layerShape(n) ?? [])
    .filter((l) => l.view.kind === 'product');
  if (!layers.length)
    fail(
      'MODEL_UNSUPPORTED',
      'quantize.weights.lowRank finds no product of the last axis with a quantized matrix of its own',
      {},
      'leave it out, or see include and exclude',
    );
  const small = layers.reduce((n, l) => n + l.columns ** 2, 0) <= MOST;
  const products = calibration.data && small ? await inputProducts(v, layers, o) : undefined;
  const weights = new Set(layers.map((l) => l.weight));
  const seen =
    calibration.data && !small
      ? (await measureLayers(v, (w) => weights.has(w), 'quantize.weights.lowRank', o)).energies
      : undefined;
  const floats = new Map([...v.float.graph.initializers].map((w) => [w.name, w]));
  const terms = new Map<QuantPoint, LowRankTerm>();
  let bytes = 0;
  for (const layer of layers) {
    o.signal?.throwIfAborted();
    const { weight, rows, columns } = layer;
    const all = { group: 0, first: 0, rows };
    const codes = rowsOfLayer(layer, dataOf(weight).f64(), all);
    const float = rowsOfLayer(layer, dataOf(filled([floats.get(weight.name)], 0)).f64(), all);
    const error = float.map((w, at) => w - (codes[at] ?? 0));
    const own = products?.get(layer.node)?.products;
    const term = own
      ? lowRankOutputs(error, rows, columns, lowRank.rank, own)
      : lowRankError(error, rows, columns, lowRank.rank, seen?.get(weight)?.squares);
    terms.set(weight, term);
    bytes += 4 * (term.narrow.length + term.wide.length);
  }
  const more =
    `${terms.size} products corrected by rank ${lowRank.rank}, ${bytesText(bytes)} more` +
    (calibration.data ? '' : ', by weights alone');
  return { refined: { ...v, lowRank: terms }, line: `${line} · ${more}` };
}

/** Σ x·xᵀ ÷ places of what each layer is given in the model with quantized weights. */
function inputProducts(
  { model, recipe }: RefinedVariant,
  layers: readonly LayerShape[],
  o: Surroundings,
): Promise<ReadonlyMap<Node, Moments>> {
  const { calibration, quantize } = recipe.recipe;
  const feeds = (): AsyncIterable<Feed> =>
    feedsOf(calibrationBatches(recipe, o, quantize.weights.samples, 'quantize.weights.lowRank'));
  return moments({ model, feeds, threads: calibration.threads, ...o }, layers, () => 'inputs');
}
