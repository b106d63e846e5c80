/** Puts several convolutions in the place of one. */
import { item } from '../base/lists.js';
import type { LayerShape } from '../channels/layer.js';
import type { Node } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';
import type { Step } from './conv-forms.js';
import type { Kernel } from './kernel-factors.js';

export const stridesOf = (node: Node): readonly [number, number] => {
  const [down = 1, across = 1] = intsOf(node, 'strides') ?? [];
  return [down, across];
};
function intsOf(node: Node, name: string): number[] | undefined {
  const a = node.attrs.get(name);
  return a?.type === 'ints' ? a.value.map(Number) : undefined;
}

/**
 * The node stays as the last of them, with its name, bias and output. Input channels of the first kernel are divided by
 * `counts`. Gives the steps as they are written.
 */
export function splitConv(
  model: Model,
  { node, view, weight, input }: LayerShape,
  given: readonly Step[],
  counts: Float64Array,
): Step[] {
  const b = new GraphBuilder(model);
  const name = node.name || item(node.outputs, 0).name;
  const [strides, dilations] = [intsOf(node, 'strides') ?? [1, 1], intsOf(node, 'dilations') ?? [1, 1]];
  const pads = intsOf(node, 'pads') ?? [0, 0, 0, 0];
  const auto = node.string('auto_pad', 'NOTSET');
  /** What of the window a convolution has: its own size along the axes that it is about, else 1. */
  const window = ({ kernel, axes, depthwise }: Step): Record<string, number[] | number | string> => {
    const of = (list: readonly number[], other: number): number[] => list.map((v, i) => (axes[i % 2] ? v : other));
    const about = { kernel_shape: kernel.dims.slice(2), strides: of(strides, 1), dilations: of(dilations, 1) };
    const group = depthwise ? { group: item(kernel.dims, 0) } : {};
    return { ...about, ...group, ...(auto === 'NOTSET' ? { pads: of(pads, 0) } : { auto_pad: auto }) };
  };
  const constant = (k: Kernel, role: string) => b.constant(Tensor.f32(Float32Array.from(k.values), k.dims), role);
  const steps = given.map((s, i) => (i ? s : { ...s, kernel: without(s.kernel, counts) }));
  const last = item(steps, steps.length - 1);
  let inner = input;
  for (const s of steps.slice(0, -1)) {
    const role = `${name}_${s.role}`;
    inner = b.op('Conv', [inner, constant(s.kernel, role)], { attrs: window(s), name: role });
  }
  node.setInput(view.data, inner);
  node.setInput(view.weight, constant(last.kernel, weight.name));
  for (const [key, value] of Object.entries(window(last)))
    if (typeof value === 'object') node.attrs.set(key, { type: 'ints', value: value.map(BigInt) });
  return steps;
}

/** Without what input channels count. */
function without(k: Kernel, counts: Float64Array): Kernel {
  const [, i, h, w] = k.dims;
  return { ...k, values: k.values.map((v, at) => v / item(counts, Math.floor(at / (h * w)) % i)) };
}

/** The weights as they were, what stands in their place, and the mean of each column of the inputs. */
interface Lost {
  readonly weights: Float64Array;
  readonly steps: readonly Step[];
  readonly means: Float64Array;
}

/**
 * Adds to the bias what the lost part of the weights gave on average. False where the bias is no constant. source:
 * Nagel et al. 2019, https://arxiv.org/abs/1906.04721, section 4.2, of weights that rounding changed
 */
export function correctMean(model: Model, { node, view, rows, columns }: LayerShape, l: Lost): boolean {
  if (view.bias === undefined) return false;
  const old = node.inputs[view.bias];
  if (old && old.data?.dtype !== 'float32') return false;
  // Of the whole window: each size is that of one step.
  const size = (axis: 2 | 3): number => Math.max(...l.steps.map((s) => s.kernel.dims[axis]));
  const [height, width] = [size(2), size(3)];
  const kept = l.steps.reduce((seen, s) => through(seen, s), { values: l.means, height, width }).values;
  const before = old?.data?.f32() ?? new Float32Array(rows);
  const bias = before.map((v, r) => {
    let whole = 0;
    for (let c = 0; c < columns; c++) whole += item(l.weights, r * columns + c) * item(l.means, c);
    return v + whole - item(kept, r);
  });
  const name = old?.name ?? `${node.name || item(node.outputs, 0).name}_bias`;
  node.setInput(view.bias, new GraphBuilder(model).constant(Tensor.f32(bias, [rows]), name));
  return true;
}

interface Means {
  /** [channels, height, width] */
  readonly values: Float64Array;
  readonly height: number;
  readonly width: number;
}
/** The means of what a step gives: it sums over the axes of the window that are its own. */
function through({ values, height, width }: Means, { kernel, depthwise }: Step): Means {
  const [o, i, h, w] = kernel.dims;
  const [down, across] = [height / h, width / w];
  const out = new Float64Array(o * down * across);
  for (let at = 0; at < out.length; at++) {
    const [r, y, x] = [Math.floor(at / (down * across)), Math.floor(at / across) % down, at % across];
    let sum = 0;
    for (let c = 0; c < i; c++)
      for (let p = 0; p < h * w; p++) {
        const from = ((depthwise ? r : c) * height + y + Math.floor(p / w)) * width + x + (p % w);
        sum += item(kernel.values, (r * i + c) * h * w + p) * item(values, from);
      }
    out[at] = sum;
  }
  return { values: out, height: down, width: across };
}
