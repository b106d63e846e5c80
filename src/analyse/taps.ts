/**
 * Tensors taken out of a model: whole where they are small, else a grid of their elements that the runtime cuts out
 * itself.
 */
import { named } from '../base/lists.js';
import { cloneModel } from '../ir/clone.js';
import type { DType } from '../ir/dtype.js';
import type { Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';

/** Elements of one tensor and sample that are looked at. A feature map of 64 × 240 × 240 has 112 times as many. */
export const MOST_ELEMENTS = 32_768;
/** Slice takes its bounds as inputs since then. */
const SLICE_OPSET = 10;
const END = 2 ** 53 - 1;

/**
 * What to take: a value of the model, every how many elements along each axis, and its type where the model does not
 * say.
 */
export interface Tap {
  readonly value: Value;
  readonly steps: readonly number[] | undefined;
  readonly dtype?: DType | undefined;
}

/**
 * Every how many elements of each axis are taken, so that few enough remain; undefined where all do, or `keep` leaves
 * no axis to choose from. Odd, for layers with a stride of 2 leave patterns of 2: [1, 64, 240, 240] with 1 kept → [1,
 * 1, 11, 11].
 */
export function stepsOf(dims: readonly number[], keep: ReadonlySet<number>): number[] | undefined {
  const total = dims.reduce((n, d) => n * d, 1);
  const free = dims.flatMap((d, axis) => (axis > 0 && d > 1 && !keep.has(axis) ? [axis] : []));
  if (!(total > MOST_ELEMENTS) || !free.length) return undefined;
  const steps = dims.map(() => 1);
  let ratio = total / MOST_ELEMENTS;
  // Short axes first: what they cannot give, the others must.
  const order = [...free].sort((a, b) => dims[a]! - dims[b]!); // axes of the tensor
  order.forEach((axis, i) => {
    const wanted = Math.ceil(ratio ** (1 / (order.length - i)));
    steps[axis] = Math.min(dims[axis]!, wanted | 1);
    ratio = Math.max(1, ratio / steps[axis]);
  });
  return steps;
}

/**
 * A copy that gives these values too, and under which names; its own outputs stay, so that the runtime makes the same
 * of the rest.
 */
export function withTaps(
  original: Model,
  taps: readonly Tap[],
): { readonly model: Model; readonly names: readonly string[] } {
  const { model, values } = cloneModel(original);
  const builder = new GraphBuilder(model);
  const canSlice = (model.opsets.get('') ?? 0) >= SLICE_OPSET;
  const names = taps.map(({ value, steps, dtype }) => {
    const y = named(values, value); // taps are values of this model
    y.dtype ??= dtype ?? 'float32';
    const cut = steps && canSlice ? sliced(builder, y, steps) : y;
    cut.dtype ??= y.dtype;
    if (!model.graph.outputs.includes(cut)) model.graph.addOutput(cut);
    return cut.name;
  });
  return { model, names };
}

/** From the middle of the first step on, so that no axis is seen by its border alone. */
function sliced(b: GraphBuilder, y: Value, steps: readonly number[]): Value {
  const axes = steps.flatMap((step, axis) => (step > 1 ? [axis] : []));
  const of = (values: readonly number[], name: string): Value => b.constant(Tensor.i64(values), `${y.name}_${name}`);
  const chosen = axes.map((a) => steps[a]!); // axes of the steps
  const inputs = [
    y,
    of(
      chosen.map((s) => s >> 1),
      'starts',
    ),
    of(
      chosen.map(() => END),
      'ends',
    ),
    of(axes, 'axes'),
    of(chosen, 'steps'),
  ];
  return b.op('Slice', inputs, { name: `${y.name}_grid` });
}
