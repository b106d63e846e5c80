import { z } from 'zod';
import { fail } from '../base/errors.js';
import { item } from '../base/lists.js';
import type { LayerShape } from '../channels/layer.js';
import { inputEnergies } from '../codes/energies.js';
import type { Node } from '../ir/graph.js';
import { dataOf } from '../ir/known.js';
import type { Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { inferShapes } from '../ops/infer.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { removeUnusedInitializers } from '../rewrite/pass.js';
import {
  inputMatrix,
  outputMatrix,
  spatialFactors,
  spatialMatrix,
  squaresOf,
  tuckerFactors,
} from './kernel-factors.js';
import type { Kernel } from './kernel-factors.js';
import { layersOf } from './products.js';
import type { Compression } from './types.js';
import { vbmfRank } from './vbmf.js';

const options = z.strictObject({
  form: z
    .enum(['spatial', 'tucker'])
    .default('spatial')
    .describe(
      'spatial: a convolution over the height and one over the width. tucker: to fewer channels, over height and ' +
        'width, and back to all channels.',
    ),
  rank: z
    .union([
      z.strictObject({
        left: z.number().gt(0).lt(1).describe('Share of the multiply-accumulates of these layers that is left.'),
      }),
      z.strictObject({ energy: z.number().gt(0).lt(1).describe('Share of the energy of each kernel that is kept.') }),
      z.literal('vbmf').describe('What variational Bayes tells apart from noise.'),
    ])
    .describe('How ranks are chosen: left, all layers keep one share of energy, the largest that is cheap enough.'),
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
  /** Squared singular values of each matrix whose rank is chosen, and its sizes. */
  readonly spectra: readonly { readonly squares: Float64Array; readonly rows: number; readonly columns: number }[];
  /** Multiply-accumulates of one output place, as it is and with ranks. */
  readonly whole: number;
  readonly work: (ranks: readonly number[]) => number;
  readonly places: number;
}

/** Convolutions become two or three of fewer channels. */
export const lowRankConv = {
  name: 'low-rank-conv',
  doc: 'Splits convolutions into smaller ones in a row: over height and width, or through fewer channels (Tucker).',
  options,
  needsData: (o) => o.data,
  async run(context, o) {
    const { model } = context;
    const layers = layersOf(model, o.include, isPlain);
    if (!layers.length)
      fail('MODEL_UNSUPPORTED', 'there is no convolution larger than 1 × 1 to split', {}, 'see include');
    const seen = o.data && context.hasData ? await inputEnergies(context, layers) : undefined;
    const all = layers.map((l) => splitOf(l, o.form, seen?.get(l.weight)?.squares));
    const ranks = ranksOf(all, o.rank);
    let [split, before, after] = [0, 0, 0];
    for (const [i, s] of all.entries()) {
      const own = item(ranks, i);
      const work = Math.min(s.whole, s.work(own));
      before += s.places * s.whole;
      after += s.places * work;
      if (work >= s.whole) continue;
      factor(model, s, o.form, own);
      split++;
    }
    removeUnusedInitializers(model.graph);
    inferShapes(model);
    const left = ((100 * after) / (before || 1)).toFixed(1);
    return `${split} of ${all.length} convolutions split · ${left} % of their MACs left${seen ? '' : ' · by weights alone'}`;
  },
} satisfies Compression<Options>;

/** Of two dimensions, in one group, larger than 1 × 1. */
function isPlain({ view, groups, weight }: LayerShape): boolean {
  const { dims } = dataOf(weight);
  return view.kind === 'window' && groups === 1 && dims.length === 4 && item(dims, 2) * item(dims, 3) > 1;
}

function splitOf(layer: LayerShape, form: Options['form'], squares: Float64Array | undefined): Split {
  const { dims } = dataOf(layer.weight);
  const [o, i, h, w] = [item(dims, 0), item(dims, 1), item(dims, 2), item(dims, 3)];
  const at = h * w;
  const sums = Float64Array.from({ length: i }, (_, c) =>
    squares ? squares.subarray(c * at, (c + 1) * at).reduce((n, v) => n + v, 0) / at : 1,
  );
  const least = sums.reduce((n, v) => n + v, 0) / i / 1e4;
  const counts = sums.map((v) => Math.sqrt(Math.max(v, least)) || 1);
  const weight = dataOf(layer.weight).f64();
  const values = weight.map((v, k) => v * item(counts, Math.floor(k / at) % i));
  const kernel: Kernel = { values, dims: [o, i, h, w] };
  const matrices = form === 'spatial' ? [spatialMatrix(kernel)] : [outputMatrix(kernel), inputMatrix(kernel)];
  const spectra = matrices.map((m) => ({ squares: squaresOf(m), rows: m.rows, columns: m.columns }));
  const [down, across] = stridesOf(layer.node);
  const work = (ranks: readonly number[]): number => {
    const [a, b] = [item(ranks, 0), ranks[1] ?? 0];
    return form === 'spatial' ? a * (i * h * across + o * w) : b * i * down * across + a * b * at + o * a;
  };
  const shape = item(layer.node.outputs, 0).shape?.slice(2) ?? [];
  const places = shape.reduce<number>((n, d) => n * (typeof d === 'number' ? d : 1), 1);
  return { layer, kernel, counts, spectra, whole: o * i * at, work, places };
}

const stridesOf = (node: Node): readonly [number, number] => {
  const [down = 1, across = 1] = intsOf(node, 'strides') ?? [];
  return [down, across];
};
function intsOf(node: Node, name: string): number[] | undefined {
  const a = node.attrs.get(name);
  return a?.type === 'ints' ? a.value.map(Number) : undefined;
}

function ranksOf(all: readonly Split[], rule: Options['rank']): number[][] {
  if (rule === 'vbmf') return all.map((s) => s.spectra.map((m) => Math.max(1, vbmfRank(m.squares, m.rows, m.columns))));
  const keeping = (share: number): number[][] => all.map((s) => s.spectra.map((m) => rankKeeping(m.squares, share)));
  if ('energy' in rule) return keeping(rule.energy);
  const workAt = (ranks: readonly number[][]): number =>
    all.reduce((n, s, i) => n + s.places * Math.min(s.whole, s.work(item(ranks, i))), 0);
  const limit = rule.left * all.reduce((n, s) => n + s.places * s.whole, 0);
  let [low, high] = [0, 1];
  for (let i = 0; i < 40; i++) {
    const middle = (low + high) / 2;
    if (workAt(keeping(middle)) > limit) high = middle;
    else low = middle;
  }
  return keeping(low);
}

/** The least rank, at least 1, that keeps a share of the energy. */
export function rankKeeping(squares: Float64Array, share: number): number {
  const total = squares.reduce((n, v) => n + v, 0);
  let kept = 0;
  for (let r = 0; r < squares.length; r++) {
    kept += item(squares, r);
    if (kept >= share * total) return r + 1;
  }
  return squares.length;
}

/** Convolutions in the place of one, which stays as the last with its name, bias and output. */
function factor(model: Model, { layer, kernel, counts }: Split, form: Options['form'], ranks: readonly number[]): void {
  const { node, view, weight, input } = layer;
  const b = new GraphBuilder(model);
  const name = node.name || item(node.outputs, 0).name;
  const [strides, dilations] = [intsOf(node, 'strides') ?? [1, 1], intsOf(node, 'dilations') ?? [1, 1]];
  const pads = intsOf(node, 'pads') ?? [0, 0, 0, 0];
  const auto = node.string('auto_pad', 'NOTSET');
  /** What of the window a convolution has: its own size along the axes that it is about, else 1. */
  const window = ({ dims }: Kernel, axes: readonly boolean[]): Record<string, number[] | string> => {
    const of = (list: readonly number[], other: number): number[] => list.map((v, i) => (axes[i % 2] ? v : other));
    const about = { kernel_shape: dims.slice(2), strides: of(strides, 1), dilations: of(dilations, 1) };
    return auto === 'NOTSET' ? { ...about, pads: of(pads, 0) } : { ...about, auto_pad: auto };
  };
  const constant = (k: Kernel, role: string) => b.constant(Tensor.f32(Float32Array.from(k.values), k.dims), role);
  /** Without what input channels count. */
  const plain = (k: Kernel): Kernel => {
    const [, i, h, w] = k.dims;
    return { ...k, values: k.values.map((v, at) => v / item(counts, Math.floor(at / (h * w)) % i)) };
  };
  let [inner, last, axes] = [input, kernel, [true, true]];
  const step = (k: Kernel, own: readonly boolean[], role: string): void => {
    inner = b.op('Conv', [inner, constant(k, `${name}_${role}`)], { attrs: window(k, own), name: `${name}_${role}` });
  };
  if (form === 'spatial') {
    const { first, second } = spatialFactors(kernel, item(ranks, 0));
    step(plain(first), [true, false], 'height');
    [last, axes] = [second, [false, true]];
  } else {
    const f = tuckerFactors(kernel, [item(ranks, 0), item(ranks, 1)]);
    step(plain(f.first), [false, false], 'narrow');
    step(f.core, [true, true], 'core');
    [last, axes] = [f.last, [false, false]];
  }
  node.setInput(view.data, inner);
  node.setInput(view.weight, constant(last, weight.name));
  for (const [key, value] of Object.entries(window(last, axes)))
    if (typeof value !== 'string') node.attrs.set(key, { type: 'ints', value: value.map(BigInt) });
}
