/** Normalisations, composed of means, differences and products of numbers. */
import { item } from '../../../base/lists.js';
import type { Node } from '../../../ir/graph.js';
import { fromStart } from '../../../rewrite/facts.js';
import { ACTIVATION } from '../schema.js';
import type { LayerWriter, Rule } from '../layer-writer.js';
import type { LiteTensor } from '../tensors.js';
import { broadcast } from './elementwise.js';

const NONE = { activation: ACTIVATION.NONE };
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
const mean = (w: LayerWriter, x: LiteTensor, axes: readonly number[]): LiteTensor => {
  const shape = x.shape.map((d, i) => (axes.includes(i) ? 1 : d));
  return w.float('MEAN', [x, w.ints(axes)], { keepDims: true }, shape);
};
const binary = (w: LayerWriter, op: 'ADD' | 'SUB' | 'MUL', a: LiteTensor, b: LiteTensor): LiteTensor =>
  w.float(op, [a, b], NONE, broadcast(a.shape, b.shape));
/** 1 / √(v + ε). */
const inverseRoot = (w: LayerWriter, v: LiteTensor, epsilon: number): LiteTensor =>
  w.float('RSQRT', [binary(w, 'ADD', v, w.number(epsilon))], {});
/** (x − μ) / √(σ² + ε) over some axes. */
function standardized(w: LayerWriter, x: LiteTensor, axes: readonly number[], epsilon: number): LiteTensor {
  const centre = mean(w, x, axes);
  const variance = mean(w, w.float('SQUARED_DIFFERENCE', [x, centre], {}), axes);
  return binary(w, 'MUL', binary(w, 'SUB', x, centre), inverseRoot(w, variance, epsilon));
}
/** y·γ + β, each of sizes that broadcast. */
function affine(
  w: LayerWriter,
  y: LiteTensor,
  gain: LiteTensor | undefined,
  shift: LiteTensor | undefined,
): LiteTensor {
  const scaled = gain ? binary(w, 'MUL', y, gain) : y;
  return shift ? binary(w, 'ADD', scaled, shift) : scaled;
}

const onlyFirst = (node: Node): string | undefined =>
  node.outputs.slice(1).some((o) => o.name) ? 'its moments are used' : undefined;

const layerNorm: Rule = {
  codes: 'none',
  refuses: onlyFirst,
  write(w) {
    const rank = w.edge(0).shape.length;
    const axes = range(fromStart(w.node.int('axis', -1), rank), rank);
    const y = standardized(w, w.real(0), axes, w.node.float('epsilon', 1e-5));
    w.give(affine(w, y, w.real(1), w.has(2) ? w.real(2) : undefined));
  },
};
const rmsNorm: Rule = {
  codes: 'none',
  write(w) {
    const x = w.real(0);
    const axes = range(fromStart(w.node.int('axis', -1), x.shape.length), x.shape.length);
    const root = inverseRoot(w, mean(w, w.float('SQUARE', [x], {}), axes), w.node.float('epsilon', 1e-5));
    w.give(affine(w, binary(w, 'MUL', x, root), w.real(1), undefined));
  },
};

/** Constants by channel, folded into one factor and one addend. */
const batchNorm: Rule = {
  codes: 'none',
  refuses: (node) =>
    [1, 2, 3, 4].some((i) => !node.inputs[i]?.data) ? 'its parameters are not constant' : onlyFirst(node),
  write(w) {
    const [gain, shift, centre, variance] = [1, 2, 3, 4].map(
      (i) => w.constant(i)?.f64() ?? w.refuse('its parameters are not constant'),
    );
    const epsilon = w.node.float('epsilon', 1e-5);
    const count = gain?.length ?? 0;
    const factors = Float64Array.from(
      { length: count },
      (_, c) => item(gain ?? [], c) / Math.sqrt(item(variance ?? [], c) + epsilon),
    );
    const addends = factors.map((f, c) => item(shift ?? [], c) - item(centre ?? [], c) * f);
    const x = w.real(0);
    const shape = w.isLast ? [count] : channelsOf(x.shape, count);
    w.give(
      affine(
        w,
        x,
        w.model.floats(factors, shape, `${w.name}_factor`),
        w.model.floats(addends, shape, `${w.name}_shift`),
      ),
    );
  },
};
const channelsOf = (shape: readonly number[], count: number): number[] =>
  shape.map((_, i) => (i === 1 ? count : 1)).slice(shape.length > 1 ? 1 : 0);

const instanceNorm: Rule = {
  codes: 'none',
  write(w) {
    const x = w.real(0);
    const y = standardized(w, x, range(1, x.shape.length - 1), w.node.float('epsilon', 1e-5));
    w.give(affine(w, y, w.real(1), w.real(2)));
  },
};
/** Groups of neighbouring channels, which are an axis of their own here. */
const groupNorm: Rule = {
  codes: 'none',
  write(w) {
    const x = w.real(0);
    const groups = w.node.int('num_groups');
    const channels = item(x.shape, x.shape.length - 1);
    const apart = [...x.shape.slice(0, -1), groups, channels / groups];
    const axes = [...range(1, x.shape.length - 1), x.shape.length];
    const y = w.reshaped(standardized(w, w.reshaped(x, apart), axes, w.node.float('epsilon', 1e-5)), x.shape);
    const perChannel = (i: number): LiteTensor => {
      const data = w.constant(i);
      if (!data || data.size === channels) return w.real(i);
      const each = channels / groups; // before opset 21 there is one number for a group
      return w.model.floats(
        Array.from({ length: channels }, (_, c) => item(data.f32(), Math.floor(c / each))),
        [channels],
        w.edge(i).name,
      );
    };
    w.give(affine(w, y, perChannel(1), perChannel(2)));
  },
};

export const norms: Readonly<Record<string, Rule>> = {
  LayerNormalization: layerNorm,
  RMSNormalization: rmsNorm,
  BatchNormalization: batchNorm,
  InstanceNormalization: instanceNorm,
  GroupNormalization: groupNorm,
};
