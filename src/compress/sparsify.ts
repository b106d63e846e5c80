import { byName, item } from '../base/lists.js';
import { fail } from '../base/errors.js';
import { withFrontier } from '../codes/frontier.js';
import { dataOf } from '../ir/known.js';
import { Tensor } from '../ir/tensor.js';
import { sparsityIn } from './sparsity/count.js';
import { sparsityMethods } from './sparsity/index.js';
import { measureInputs, stepsOf, type Inputs } from './sparsity/inputs.js';
import { placesOf, sparseLayers, type SparseLayer } from './sparsity/layers.js';
import { options, patternAt, type Options } from './sparsity/options.js';
import { withShare, type Pattern } from './sparsity/pattern.js';
import { globalShares } from './sparsity/shares.js';
import type { SparsityMethod } from './sparsity/types.js';
import type { CompressContext, Compression } from './types.js';

/**
 * Makes weights zero, layer after layer on what the layers before, already sparse, really give. The graph stays as it
 * is. source: the cubic schedule, Zhu and Gupta 2017, https://arxiv.org/abs/1710.01878
 */
export const sparsify = {
  name: 'sparsify',
  doc:
    'Makes single weights zero: a share of them, n of each m (2:4), or whole blocks. The file can be stored smaller; ' +
    'onnxruntime computes zeros like other numbers.',
  options,
  keeps: ['zeros'],
  requiresData: (o) => methodOf(o).method.inputs !== 'none',
  async run(context, o) {
    const layers = sparseLayers(context.model, o.include, o.exclude);
    if (!layers.length)
      fail(
        'MODEL_UNSUPPORTED',
        'there is no layer with constant weights to make sparse',
        {},
        'see include and exclude',
      );
    if (o.finetune && !context.finetune)
      fail('RECIPE_INVALID', 'sparsify has finetune, and the recipe has no section train that says how', {});
    const { method } = methodOf(o);
    for (let step = 1; step <= o.steps; step++) {
      const pattern = patternAt(o.pattern, step / o.steps, method.scope);
      if (pattern) await prune(context, layers, pattern, o, `step ${step} of ${o.steps}`);
      if (o.finetune && step < o.steps) await context.finetune?.(o.finetune);
    }
    return lineOf(layers, o, context.hasData || method.inputs === 'none');
  },
} satisfies Compression<Options>;

function methodOf({ method: { name, ...own } }: Options): { readonly method: SparsityMethod; readonly own: unknown } {
  return { method: byName(sparsityMethods, name), own };
}

/** Once through the layers. */
async function prune(
  context: CompressContext,
  layers: readonly SparseLayer[],
  pattern: Pattern,
  o: Options,
  note: string,
): Promise<void> {
  const { model, threads, signal, onEvent } = context;
  const { method, own } = methodOf(o);
  const global = typeof o.pattern === 'object' && o.pattern.scope === 'global' && pattern.kind !== 'ratio';
  const shares = global ? globalShares(layers, pattern) : undefined;
  const patternOf = (layer: SparseLayer): Pattern => withShare(pattern, shares?.get(layer) ?? shareOf(pattern));
  const looks = method.inputs !== 'none' && context.hasData;
  let count = 0;
  // Tables first, for products see what comes from them; they have no inputs that norms could be taken of.
  for (const table of layers.filter((l) => !readsInputs(l))) {
    pruneLayer(table, patternOf(table), byName(sparsityMethods, 'magnitude'), {}, undefined);
    count++;
  }
  await withFrontier(context.feeds, async (frontier) => {
    for (const step of looks ? stepsOf(layers.filter(readsInputs)) : layers.filter(readsInputs).map((l) => [l])) {
      signal?.throwIfAborted();
      const inputs = looks
        ? await measureInputs({ model, layers: step, frontier, what: energiesOr(method), threads, signal })
        : undefined;
      for (const layer of step) {
        pruneLayer(layer, patternOf(layer), method, own, inputs);
        onEvent({ type: 'progress', stage: 'sparsify', done: ++count, total: layers.length, note });
      }
    }
  });
}
const shareOf = (pattern: Pattern): number => (pattern.kind === 'ratio' ? 0 : pattern.share);
const readsInputs = ({ uses }: SparseLayer): boolean => item(uses, 0).view.kind !== 'lookup';
const energiesOr = ({ inputs }: SparsityMethod): 'energies' | 'products' =>
  inputs === 'products' ? 'products' : 'energies';

function pruneLayer(
  layer: SparseLayer,
  pattern: Pattern,
  method: SparsityMethod,
  own: unknown,
  inputs: Inputs | undefined,
): void {
  const { weight, bias, groups, rows, columns } = layer;
  const data = dataOf(weight);
  const places = placesOf(layer);
  const values = data.f32().slice();
  const weights = Float64Array.from(places, (at) => item(values, at));
  const products = inputs?.products.map((p, g) => (bias ? centred(p, inputs.means, g * columns, columns) : p));
  const about = method.inputs === 'products' ? { products } : { energies: inputs?.energies };
  const made = method.prune({ groups, rows, columns, weights, pattern, ...(inputs ? about : {}) }, own);
  places.forEach((at, i) => {
    values[at] = item(made, i);
  });
  weight.data = Tensor.f32(values, data.dims);
  if (!bias || !inputs || method.inputs !== 'products') return;
  const before = dataOf(bias.value);
  const moved = before.f32().slice();
  for (let r = 0; r < groups * rows; r++) {
    let lost = 0;
    const g = Math.floor(r / rows);
    for (let c = 0; c < columns; c++)
      lost +=
        (item(weights, r * columns + c) - item(values, item(places, r * columns + c))) *
        item(inputs.means, g * columns + c);
    moved[r] = item(moved, r) + bias.sign * lost;
  }
  bias.value.data = Tensor.f32(moved, before.dims);
}

/** x·xᵀ about the mean of x: what the bias cannot make up for. */
function centred(products: Float64Array, means: Float64Array, from: number, columns: number): Float64Array {
  return products.map((v, at) => v - item(means, from + Math.floor(at / columns)) * item(means, from + (at % columns)));
}

function lineOf(layers: readonly SparseLayer[], o: Options, looked: boolean): string {
  const counts = layers.map(sparsityIn);
  const of = (key: 'zeros' | 'weights'): number => counts.reduce((n, c) => n + c[key], 0);
  const each = counts.map((c) => c.zeros / c.weights);
  const percent = (share: number): string => (100 * share).toFixed(1);
  const pattern =
    typeof o.pattern === 'string'
      ? ` in ${o.pattern}`
      : o.pattern.block
        ? ` in blocks of ${o.pattern.block.join(' × ')}`
        : '';
  return (
    `${percent(of('zeros') / of('weights'))} % of the weights of ${layers.length} layers are zero${pattern}, by ${o.method.name} · ` +
    `${percent(each.reduce((a, b) => Math.min(a, b)))} to ${percent(each.reduce((a, b) => Math.max(a, b)))} % of a layer` +
    (o.steps > 1 ? ` · in ${o.steps} steps` : '') +
    (looked ? '' : ' · by weights alone')
  );
}
