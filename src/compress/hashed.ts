import { z } from 'zod';
import { fail } from '../base/errors.js';
import { item } from '../base/lists.js';
import { createRng } from '../base/rng.js';
import { bytesText } from '../base/text.js';
import { dtypeCode } from '../ir/dtype.js';
import { dataOf } from '../ir/known.js';
import { Tensor } from '../ir/tensor.js';
import type { Value } from '../ir/graph.js';
import { inferShapes } from '../ops/infer.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { bucketOf, drawHash, signOf, PRIME, type Hash } from './hash.js';
import { layersOf } from './products.js';
import type { Compression } from './types.js';

const options = z.strictObject({
  left: z
    .number()
    .gt(0)
    .lt(1)
    .describe('Values that are stored, as a share of the weights: 0.125 stores every eighth.'),
  include: z
    .array(z.string().min(1))
    .min(1)
    .describe('Layers by name, glob or re: and a regular expression. Default: all with a large constant weight.')
    .optional(),
  least: z.number().int().positive().default(2048).describe('Weights of fewer elements stay.'),
  seed: z.number().int().min(0).default(0).describe('Seed of the hash; each weight has one of its own.'),
});
type Options = z.output<typeof options>;

/** First opset with all operators that put weights together. */
const OPSET = 11;

/**
 * A weight at place i is ξ(i)·values[h(i)], with a hash h and the sign ξ of another. What the values are is the least
 * squares fit: the mean of ξ(i)·w[i] over a bucket. The file holds the values alone: places are counted and hashed by
 * integer operators when the model is loaded. source: Chen et al. 2015, https://arxiv.org/abs/1504.04788
 */
export const hashed = {
  name: 'hashed',
  doc:
    'Lets the weights of a layer share few values, by a hash of their places: a fraction of the parameters at the same ' +
    'multiply-accumulates. It loses most of what a trained layer does; train the result.',
  options,
  async run({ model }, { left, include, least, seed }) {
    await Promise.resolve();
    const opset = model.opsets.get('') ?? 1;
    if (opset < OPSET)
      fail('MODEL_UNSUPPORTED', `the model is of opset ${opset}; hashing takes ${OPSET}`, {}, 'optimise raises opsets');
    const layers = layersOf(model, include, (l) => dataOf(l.weight).size >= least);
    if (!layers.length)
      fail('MODEL_UNSUPPORTED', `no layer has a constant weight of ${least} elements`, {}, 'see least and include');
    const b = new GraphBuilder(model);
    let [lost, all, saved] = [0, 0, 0];
    for (const { weight } of layers) {
      const data = dataOf(weight);
      const hash = drawHash(createRng(seed, `hashed ${weight.name}`), Math.ceil(left * data.size));
      const { values, error, energy } = fitted(data.f32(), hash);
      lost += error;
      all += energy;
      saved += data.byteLength - values.byteLength;
      const made = expansion(b, weight, values, hash);
      model.graph.replaceUses(weight, made);
      model.graph.initializers.delete(weight);
    }
    inferShapes(model);
    const share = ((100 * lost) / (all || 1)).toFixed(1);
    return `${layers.length} weights hashed · ${bytesText(saved)} less · ${share} % of the energy of their weights lost`;
  },
} satisfies Compression<Options>;

/** The mean of each bucket, and the squared distance of the weights from what they become. */
function fitted(
  weights: Float32Array,
  hash: Hash,
): { readonly values: Float32Array; readonly error: number; readonly energy: number } {
  const [sums, counts] = [new Float64Array(hash.buckets), new Float64Array(hash.buckets)];
  let energy = 0;
  weights.forEach((w, i) => {
    const k = bucketOf(hash, i);
    sums[k] = item(sums, k) + signOf(hash, i) * w;
    counts[k] = item(counts, k) + 1;
    energy += w * w;
  });
  const explained = sums.reduce((n, s, k) => n + (s * s) / Math.max(1, item(counts, k)), 0);
  const values = Float32Array.from(sums, (s, k) => s / Math.max(1, item(counts, k)));
  return { values, error: Math.max(0, energy - explained), energy };
}

/** The weight, made of its values by operators. All products stay below 2^62. */
function expansion(b: GraphBuilder, weight: Value, values: Float32Array, hash: Hash): Value {
  const { dims, size } = dataOf(weight);
  const named = { name: `${weight.name}_hash` };
  const op = (kind: string, inputs: readonly Value[], attrs = {}): Value => b.op(kind, inputs, { ...named, attrs });
  const int = (v: number): Value => b.constant(Tensor.i64([v], []), `${weight.name}_n`);
  const prime = int(PRIME);
  /** (x·by + plus) mod p. */
  const line = (x: Value, by: Value, plus: number): Value =>
    op('Mod', [op('Add', [op('Mul', [x, by]), int(plus)]), prime]);
  const u = line(op('Range', [int(0), int(size), int(1)]), int(hash.a), hash.b);
  const v = line(u, u, hash.c);
  const picked = op('Gather', [
    b.constant(Tensor.f32(values, [values.length]), weight.name),
    op('Mod', [v, int(hash.buckets)]),
  ]);
  const bit = op('Cast', [op('Mod', [line(v, int(hash.d), hash.e), int(2)])], { to: dtypeCode('float32') });
  const float = (x: number): Value => b.constant(Tensor.f32([x], []), `${weight.name}_n`);
  const sign = op('Sub', [op('Mul', [bit, float(2)]), float(1)]);
  const shape = b.constant(Tensor.i64([...dims]), `${weight.name}_shape`);
  return op('Reshape', [op('Mul', [picked, sign]), shape]);
}
