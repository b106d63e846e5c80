import { z } from 'zod';
import { fail } from '../base/errors.js';
import { item } from '../base/lists.js';
import type { LayerShape } from '../channels/layer.js';
import { inputEnergies, type InputEnergies } from '../codes/energies.js';
import { dataOf } from '../ir/known.js';
import { inferShapes } from '../ops/infer.js';
import { removeUnusedInitializers } from '../rewrite/pass.js';
import { convForms, type Factoring, type RankChoice } from './conv-forms.js';
import type { Kernel } from './kernel-factors.js';
import { layersOf } from './products.js';
import { spend } from './spend.js';
import { correctMean, splitConv, stridesOf } from './split-conv.js';
import type { Compression } from './types.js';

const options = z.strictObject({
  form: z
    .enum(['spatial', 'tucker', 'cp'])
    .default('spatial')
    .describe(
      'spatial: a convolution over the height and one over the width. tucker: to fewer channels, over height and ' +
        'width, and back to all channels. cp: the same with a window of its own for each of the fewer channels ' +
        '(of more than nine places: the height, then the width).',
    ),
  rank: z
    .union([
      z.strictObject({
        left: z.number().gt(0).lt(1).describe('Share of the multiply-accumulates of these layers that is left.'),
      }),
      z.strictObject({ energy: z.number().gt(0).lt(1).describe('Share of the energy of each kernel that is kept.') }),
      z.literal('vbmf').describe('What variational Bayes tells apart from noise.'),
    ])
    .describe(
      'How ranks are chosen: left, of all layers together they are spent where they keep most of the outputs for the ' +
        'work.',
    ),
  include: z
    .array(z.string().min(1))
    .min(1)
    .describe('Layers by name, glob or re: and a regular expression. Default: all convolutions larger than 1 × 1.')
    .optional(),
  data: z
    .boolean()
    .default(true)
    .describe('Inputs count by their mean square on calibration samples; false, and without them: all alike.'),
});
type Options = z.output<typeof options>;

interface Split {
  readonly layer: LayerShape;
  /** Input channels times what they count. */
  readonly kernel: Kernel;
  readonly counts: Float64Array;
  readonly factoring: Factoring;
  /** Multiply-accumulates of the whole convolution in one place, and how many places there are. */
  readonly whole: number;
  readonly places: number;
}

/** Convolutions become two to four that cost less together. */
export const lowRankConv = {
  name: 'low-rank-conv',
  doc:
    'Splits convolutions into smaller ones in a row: over height and width, or through fewer channels (Tucker, CP). ' +
    'What is lost on average goes into the bias.',
  options,
  async run(context, o) {
    const { model } = context;
    const layers = layersOf(model, o.include, isPlain);
    if (!layers.length)
      fail('MODEL_UNSUPPORTED', 'there is no convolution larger than 1 × 1 to split', {}, 'see include');
    const seen = o.data && context.hasData ? await inputEnergies(context, layers) : undefined;
    const all = layers.map((l) => splitOf(l, o.form, seen?.get(l.weight)));
    const ranks = ranksOf(all, o.rank);
    let [split, before, after, corrected] = [0, 0, 0, 0];
    for (const [i, s] of all.entries()) {
      const own = item(ranks, i);
      const work = own.length ? Math.min(s.whole, s.factoring.work(own)) : s.whole;
      before += s.places * s.whole;
      after += s.places * work;
      if (work >= s.whole) continue;
      const means = seen?.get(s.layer.weight)?.means;
      const weights = dataOf(s.layer.weight).f64();
      const steps = splitConv(model, s.layer, s.factoring.steps(own), s.counts);
      if (means && correctMean(model, s.layer, { weights, steps, means })) corrected++;
      split++;
    }
    removeUnusedInitializers(model.graph);
    inferShapes(model);
    const left = ((100 * after) / (before || 1)).toFixed(1);
    return (
      `${split} of ${all.length} convolutions split · ${left} % of their MACs left · ` +
      (seen ? `${corrected} biases corrected` : 'by weights alone')
    );
  },
} satisfies Compression<Options>;

/** Of two dimensions, in one group, larger than 1 × 1. */
function isPlain({ view, groups, weight }: LayerShape): boolean {
  const { dims } = dataOf(weight);
  return view.kind === 'window' && groups === 1 && dims.length === 4 && item(dims, 2) * item(dims, 3) > 1;
}

function splitOf(layer: LayerShape, form: Options['form'], seen: InputEnergies | undefined): Split {
  const { dims } = dataOf(layer.weight);
  const [o, i, h, w] = [item(dims, 0), item(dims, 1), item(dims, 2), item(dims, 3)];
  const at = h * w;
  const sums = Float64Array.from({ length: i }, (_, c) =>
    seen ? seen.squares.subarray(c * at, (c + 1) * at).reduce((n, v) => n + v, 0) / at : 1,
  );
  const least = sums.reduce((n, v) => n + v, 0) / i / 1e4;
  const counts = sums.map((v) => Math.sqrt(Math.max(v, least)) || 1);
  const weight = dataOf(layer.weight).f64();
  const values = weight.map((v, k) => v * item(counts, Math.floor(k / at) % i));
  const kernel: Kernel = { values, dims: [o, i, h, w] };
  const shape = item(layer.node.outputs, 0).shape?.slice(2) ?? [];
  const places = shape.reduce<number>((n, d) => n * (typeof d === 'number' ? d : 1), 1);
  const factoring = convForms[form](kernel, stridesOf(layer.node));
  return { layer, kernel, counts, factoring, whole: o * i * at, places };
}

/** The ranks of each layer; none where it stays. */
function ranksOf(all: readonly Split[], rule: Options['rank']): (readonly number[])[] {
  if (rule === 'vbmf') return all.map((s) => s.factoring.vbmf());
  if ('energy' in rule) return all.map((s) => s.factoring.keeping(rule.energy));
  const choices = all.map(({ factoring, whole, places }): RankChoice[] => [
    { ranks: [], work: places * whole, lost: 0 },
    ...factoring
      .choices()
      .filter((c) => c.work < whole)
      .map((c) => ({ ...c, work: places * c.work })),
  ]);
  const limit = rule.left * all.reduce((n, s) => n + s.places * s.whole, 0);
  return spend(choices, limit).map((c) => c.ranks);
}
