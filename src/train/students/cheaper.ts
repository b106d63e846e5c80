/** Students whose convolutions are replaced by cheaper ones that begin near what they were. */
import { fail } from '../../base/errors.js';
import { item } from '../../base/lists.js';
import type { Node } from '../../ir/graph.js';
import { dataOf } from '../../ir/known.js';
import type { Model } from '../../ir/model.js';
import { Tensor } from '../../ir/tensor.js';
import { linearView } from '../../ops/index.js';
import { inferShapes } from '../../ops/infer.js';
import { GraphBuilder } from '../../rewrite/builder.js';
import { removeUnusedInitializers } from '../../rewrite/pass.js';
import { leading } from './leading.js';

export const REPLACEMENTS = ['depthwise-separable', 'bottleneck'] as const;
export type Replacement = (typeof REPLACEMENTS)[number];

/** Share of the channels that the middle of a bottleneck has. */
const BOTTLENECK = 0.25;
/** Convolutions of fewer channels, such as the first one, stay: there is nothing to save. */
const LEAST_CHANNELS = 8;

/** A convolution over a window of more than one position, of one group. */
interface Window {
  readonly node: Node;
  /** [outputs, inputs, ...kernel]. */
  readonly weight: Tensor;
  readonly outputs: number;
  readonly inputs: number;
  readonly taps: number;
}

/**
 * Replaces convolutions over windows, in place. depthwise-separable: a window for each channel, and a 1 × 1 convolution
 * of all; bottleneck: 1 × 1 to a quarter of the channels, the window there, and 1 × 1 back. Weights begin at the least
 * squared difference that the form allows (for a bottleneck: near it, as a truncated Tucker decomposition gives).
 * Gives how many were replaced. Throws MODEL_UNSUPPORTED for a model without such convolutions.
 */
export function cheaper(model: Model, by: Replacement): { readonly replaced: number } {
  inferShapes(model);
  const found = model.graph.topological().flatMap((node): Window[] => windowOf(node) ?? []);
  if (!found.length)
    fail(
      'MODEL_UNSUPPORTED',
      `the model has no convolution over a window of ${LEAST_CHANNELS} channels or more that could be replaced`,
      {},
      'give a student of your own',
    );
  for (const w of found) {
    const b = new GraphBuilder(model);
    if (by === 'bottleneck') asBottleneck(b, w);
    else asSeparable(b, w);
  }
  removeUnusedInitializers(model.graph);
  return { replaced: found.length };
}

function windowOf(node: Node): Window[] | undefined {
  const view = linearView(node);
  const weight = view && node.inputs[view.weight];
  if (view?.kind !== 'window' || view.groups !== 1 || !weight?.isInitializer) return undefined;
  const { dims } = dataOf(weight);
  const [outputs = 0, inputs = 0, ...kernel] = dims;
  const taps = kernel.reduce((n, d) => n * d, 1);
  if (taps === 1 || Math.min(outputs, inputs) < LEAST_CHANNELS) return undefined;
  return [{ node, weight: dataOf(weight), outputs, inputs, taps }];
}

/**
 * The last convolution takes the bias and the name of the result; only the window keeps strides, pads and dilations.
 */
function chain(
  b: GraphBuilder,
  { node }: Window,
  parts: readonly { weight: Tensor; group?: number; window: boolean }[],
): void {
  const name = node.name || item(node.outputs, 0).name;
  const window = Object.fromEntries([...node.attrs].filter(([key]) => key !== 'group' && key !== 'kernel_shape'));
  let x = item(node.inputs, 0);
  parts.forEach(({ weight, group = 1, window: own }, i) => {
    const last = i === parts.length - 1;
    const w = b.constant(weight, `${node.inputs[1]?.name ?? name}_${i}`);
    const bias = last ? node.inputs[2] : undefined;
    const attrs = { ...(own ? window : {}), kernel_shape: weight.dims.slice(2), ...(group > 1 ? { group } : {}) };
    x = b.op(node.op, [x, w, ...(bias ? [bias] : [])], { name: last ? name : `${name}_part`, attrs });
  });
  const y = item(node.outputs, 0);
  const called = y.name;
  if (x) b.graph.replaceUses(y, x);
  b.graph.remove(node);
  if (x) x.name = called;
}

/** For each input channel the best product of a kernel and a column of factors: a singular vector pair. */
function asSeparable(b: GraphBuilder, w: Window): void {
  const { weight, outputs, inputs, taps } = w;
  const data = weight.f64();
  const kernel = weight.dims.slice(2);
  const depth = new Float32Array(inputs * taps);
  const point = new Float32Array(outputs * inputs);
  const at = (o: number, i: number, t: number): number => data[(o * inputs + i) * taps + t] ?? 0;
  for (let i = 0; i < inputs; i++) {
    const gram = new Float64Array(taps * taps);
    for (let o = 0; o < outputs; o++)
      for (let s = 0; s < taps; s++)
        for (let t = 0; t < taps; t++) gram[s * taps + t] = (gram[s * taps + t] ?? 0) + at(o, i, s) * at(o, i, t);
    const v = leading(gram, taps, 1);
    depth.set(v, i * taps);
    for (let o = 0; o < outputs; o++) {
      let sum = 0;
      for (let t = 0; t < taps; t++) sum += at(o, i, t) * (v[t] ?? 0);
      point[o * inputs + i] = sum;
    }
  }
  const ones = kernel.map(() => 1);
  chain(b, w, [
    { weight: Tensor.f32(depth, [inputs, 1, ...kernel]), group: inputs, window: true },
    { weight: Tensor.f32(point, [outputs, inputs, ...ones]), window: false },
  ]);
}

/** Leading directions of inputs and of outputs, and the window between them. */
function asBottleneck(b: GraphBuilder, w: Window): void {
  const { weight, outputs, inputs, taps } = w;
  const data = weight.f64();
  const kernel = weight.dims.slice(2);
  const middle = Math.max(1, Math.round(BOTTLENECK * Math.min(outputs, inputs)));
  const at = (o: number, i: number, t: number): number => data[(o * inputs + i) * taps + t] ?? 0;
  const gramOf = (n: number, m: number, of: (a: number, other: number, t: number) => number): Float64Array => {
    const gram = new Float64Array(n * n);
    for (let a = 0; a < n; a++)
      for (let c = 0; c <= a; c++) {
        let sum = 0;
        for (let k = 0; k < m; k++) for (let t = 0; t < taps; t++) sum += of(a, k, t) * of(c, k, t);
        gram[a * n + c] = sum;
        gram[c * n + a] = sum;
      }
    return gram;
  };
  const out = leading(gramOf(outputs, inputs, at), outputs, middle);
  const into = leading(
    gramOf(inputs, outputs, (i, o, t) => at(o, i, t)),
    inputs,
    middle,
  );
  const half = new Float64Array(middle * inputs * taps); // outputs projected
  for (let p = 0; p < middle; p++)
    for (let o = 0; o < outputs; o++) {
      const u = out[o * middle + p] ?? 0;
      for (let k = 0; k < inputs * taps; k++)
        half[p * inputs * taps + k] = (half[p * inputs * taps + k] ?? 0) + u * (data[o * inputs * taps + k] ?? 0);
    }
  const core = new Float32Array(middle * middle * taps);
  for (let p = 0; p < middle; p++)
    for (let q = 0; q < middle; q++)
      for (let t = 0; t < taps; t++) {
        let sum = 0;
        for (let i = 0; i < inputs; i++) sum += (half[(p * inputs + i) * taps + t] ?? 0) * (into[i * middle + q] ?? 0);
        core[(p * middle + q) * taps + t] = sum;
      }
  const first = Float32Array.from(
    { length: middle * inputs },
    (_, k) => into[(k % inputs) * middle + Math.floor(k / inputs)] ?? 0,
  );
  const ones = kernel.map(() => 1);
  chain(b, w, [
    { weight: Tensor.f32(first, [middle, inputs, ...ones]), window: false },
    { weight: Tensor.f32(core, [middle, middle, ...kernel]), window: true },
    { weight: Tensor.f32(Float32Array.from(out), [outputs, middle, ...ones]), window: false },
  ]);
}
