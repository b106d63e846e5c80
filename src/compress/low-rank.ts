import { z } from 'zod';
import { fail } from '../base/errors.js';
import { item, named } from '../base/lists.js';
import { rowsOfLayer, type LayerShape } from '../channels/layer.js';
import { dataOf } from '../ir/known.js';
import type { Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { inferShapes } from '../ops/infer.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { removeUnusedInitializers } from '../rewrite/pass.js';
import { productsOf } from './products.js';
import { moments, type Moments } from './output-moments.js';
import { directions, type Directions } from './directions.js';
import { spend, type Choice } from './spend.js';
import type { Compression } from './types.js';

const options = z.strictObject({
  left: z
    .number()
    .gt(0)
    .lt(1)
    .describe('Share of the multiply-accumulates of these layers that is left: ranks are spent where they keep most.'),
  include: z
    .array(z.string().min(1))
    .min(1)
    .describe('Layers by name, glob or re: and a regular expression. Default: all products with a constant matrix.')
    .optional(),
  data: z
    .boolean()
    .default(true)
    .describe(
      'Keeps what the outputs of a layer are made of on calibration samples; false, and without calibration data: what ' +
        'its weights are made of.',
    ),
});
type Options = z.output<typeof options>;

/** A layer, and in which directions of its outputs how much of them lies. */
interface Factored {
  readonly layer: LayerShape;
  readonly directions: Directions;
  /** Multiply-accumulates of one place for each rank. */
  readonly each: number;
}

/**
 * Products with a matrix W become two, with U·(Uᵀ·W): U are the leading directions of the outputs W·x, so that the
 * error of the outputs is the least that the rank allows. Of all layers together, ranks go last where they lose most
 * for the work that they save. source: Eckart and Young 1936; by outputs, Chen et al. 2021 (DRONE), and Yuan et al.
 * 2023, https://arxiv.org/abs/2312.05821 (ASVD)
 */
export const lowRank = {
  name: 'low-rank',
  doc: 'Splits products with large matrices into two of fewer columns, where calibration samples show that little is lost.',
  options,
  leaving: (left) => ({ left }), // of a matrix, work and bytes are in proportion
  async run(context, o) {
    const { model } = context;
    const layers = chosen(model, o.include);
    const outputs = o.data && context.hasData ? await moments(context, layers) : undefined;
    const all = layers.map((layer): Factored => {
      const seen = outputs && named(outputs, layer.node);
      return { layer, directions: directions(layer, seen), each: layer.rows + layer.columns };
    });
    const limit = o.left * layers.reduce((n, l) => n + l.rows * l.columns, 0);
    const ranks = spend(all.map(choicesOf), limit).map((c) => c.rank);
    let split = 0;
    for (const [i, f] of all.entries()) {
      const rank = item(ranks, i);
      if (rank * f.each >= f.layer.rows * f.layer.columns) continue;
      factor(model, f, rank, outputs && named(outputs, f.layer.node));
      split++;
    }
    removeUnusedInitializers(model.graph);
    inferShapes(model);
    return (
      `${split} of ${all.length} products split · ranks ${Math.min(...ranks)} to ${Math.max(...ranks)}` +
      `${outputs ? '' : ' · by weights alone'}`
    );
  },
} satisfies Compression<Options>;

function chosen(model: Model, include: Options['include']): LayerShape[] {
  const found = productsOf(model, include);
  return found.length
    ? found
    : fail('MODEL_UNSUPPORTED', 'there is no product with a large constant matrix to split', {}, 'see include');
}

interface RankChoice extends Choice {
  readonly rank: number;
}
/** The ranks that save something, below rows·columns ÷ (rows + columns), and the layer as it is. */
function choicesOf({ layer, directions: d, each }: Factored): RankChoice[] {
  const whole = layer.rows * layer.columns;
  const choices: RankChoice[] = [{ rank: d.energies.length, work: whole, lost: 0 }];
  let lost = d.energies.reduce((n, e) => n + e, 0) / d.total;
  for (let rank = 1; rank <= d.energies.length && rank * each < whole; rank++) {
    lost -= item(d.energies, rank - 1) / d.total;
    choices.push({ rank, work: rank * each, lost: Math.max(0, lost) });
  }
  return choices;
}

/** Puts two products in the place of one; what the directions that are gone gave on average goes into the bias. */
function factor(model: Model, { layer, directions: d }: Factored, rank: number, seen: Moments | undefined): void {
  const { node, rows, columns, weight, bias } = layer;
  const w = rowsOfLayer(layer, dataOf(weight).f64(), { group: 0, first: 0, rows });
  const b = new GraphBuilder(model);
  const u = (r: number, k: number): number => item(d.vectors, r * d.energies.length + k);
  const first = new Float32Array(columns * rank); // [columns, rank]
  for (let k = 0; k < rank; k++)
    for (let c = 0; c < columns; c++) {
      let sum = 0;
      for (let r = 0; r < rows; r++) sum += u(r, k) * item(w, r * columns + c);
      first[c * rank + k] = sum;
    }
  const second = Float32Array.from({ length: rank * rows }, (_, at) => u(at % rows, Math.floor(at / rows))); // [rank, rows]
  const name = node.name || item(node.outputs, 0).name;
  const inner = b.op('MatMul', [layer.input, b.constant(Tensor.f32(first, [columns, rank]), `${name}_narrow`)], {
    name: `${name}_narrow`,
  });
  const wide = b.constant(Tensor.f32(second, [rank, rows]), weight.name);
  // The node stays, with its name, its bias and its output, for whoever knows it by them.
  node.setInput(layer.view.data, inner);
  node.setInput(layer.view.weight, wide);
  if (node.attrs.has('transB')) node.setInt('transB', 0);
  if (!bias || !seen) return;
  const before = dataOf(bias);
  const outputs =
    seen.side === 'outputs'
      ? seen.mean
      : Float64Array.from({ length: rows }, (_, r) => {
          let sum = 0;
          for (let c = 0; c < columns; c++) sum += item(w, r * columns + c) * item(seen.mean, c);
          return sum;
        });
  const kept = Float64Array.from({ length: rank }, (_, k) => outputs.reduce((n, m, s) => n + u(s, k) * m, 0));
  const lost = outputs.map((m, r) => {
    return m - kept.reduce((n, v, k) => n + u(r, k) * v, 0);
  });
  bias.data = Tensor.f32(
    before.f32().map((v, r) => v + item(lost, r)),
    before.dims,
  );
}
