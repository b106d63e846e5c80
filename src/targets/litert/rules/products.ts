/** Matrix products: FULLY_CONNECTED by a constant matrix [outputs, inputs], BATCH_MATMUL of two activations. */
import { item } from '../../../base/lists.js';
import { ACTIVATION } from '../schema.js';
import type { LayerWriter, Rule } from '../layer-writer.js';
import type { LiteTensor } from '../tensors.js';

/** x · Wᵀ + b over the last axis of x, with what is declared as the result's sizes. */
function fullyConnected(
  w: LayerWriter,
  x: LiteTensor,
  weight: LiteTensor,
  bias: LiteTensor | undefined,
  activation: number,
): LiteTensor {
  const shape = [...x.shape.slice(0, -1), item(weight.shape, 0)];
  const options = { activation, weightsFormat: 0, keepDims: shape.length > 2, asymmetricInputs: w.isHybrid };
  return w.op('FULLY_CONNECTED', bias ? [x, weight, bias] : [x, weight], options, shape);
}
const batched = (
  w: LayerWriter,
  a: LiteTensor,
  b: LiteTensor,
  adj: readonly [boolean, boolean],
  shape: readonly number[],
): LiteTensor => w.op('BATCH_MATMUL', [a, b], { adjX: adj[0], adjY: adj[1], asymmetricInputs: w.isHybrid }, shape);

export const matMul: Rule = {
  codes: 'own',
  write(w) {
    const [a, b] = [w.edge(0).shape, w.edge(1).shape];
    const x = w.input(0);
    const rows = a.length === 1 ? w.reshaped(x, [1, ...a]) : x;
    if (b.length === 2 && w.constant(1)) {
      const weight = w.weight(1, b, [1, 0]);
      const bias = w.bias(2, item(b, 1), x, weight);
      w.give(w.reshaped(fullyConnected(w, rows, weight, bias, w.activation()), w.out().shape));
      return;
    }
    const y = w.input(1);
    const columns = b.length === 1 ? w.reshaped(y, [...b, 1]) : y;
    const batch = w.out().shape.slice(0, w.out().shape.length - (a.length > 1 ? 1 : 0) - (b.length > 1 ? 1 : 0));
    const shape = [...batch, item(rows.shape, rows.shape.length - 2), item(columns.shape, columns.shape.length - 1)];
    if (shape.length > 5) w.refuse('BATCH_MATMUL has at most five axes');
    w.give(w.reshaped(batched(w, rows, columns, [false, false], shape), w.out().shape));
  },
};

export const gemm: Rule = {
  codes: 'own',
  write(w) {
    const { node } = w;
    const [transA, transB] = [node.int('transA', 0) !== 0, node.int('transB', 0) !== 0];
    const [alpha, beta] = [node.float('alpha', 1), node.float('beta', 1)];
    const [m, n] = w.out().shape;
    const [dims, constant] = [w.edge(1).shape, w.constant(1) !== undefined];
    const x = transA ? w.transposed(w.input(0), [1, 0]) : w.input(0);
    const c = w.layer.inputs[2];
    const vector =
      !c || (c.shape.length > 0 && c.shape[c.shape.length - 1] === n && c.shape.slice(0, -1).every((d) => d === 1));
    const plain = alpha === 1 && (beta === 1 || !c) && vector && constant && (!c || c.data !== undefined);
    if (plain) {
      const weight = w.weight(1, dims, transB ? [0, 1] : [1, 0]);
      w.give(fullyConnected(w, x, weight, w.bias(2, n ?? 1, x, weight), w.activation()));
      return;
    }
    if (w.onCodes) w.refuse('its kernel has no alpha, beta, or addend that is not a vector');
    const product = constant
      ? fullyConnected(w, x, w.weight(1, dims, transB ? [0, 1] : [1, 0]), undefined, ACTIVATION.NONE)
      : batched(w, x, w.real(1), [false, transB], [m ?? 1, n ?? 1]);
    const scaled = alpha === 1 ? product : w.float('MUL', [product, w.number(alpha)], { activation: ACTIVATION.NONE });
    if (!c) {
      w.give(scaled);
      return;
    }
    const addend = w.real(2);
    const second = beta === 1 ? addend : w.float('MUL', [addend, w.number(beta)], { activation: ACTIVATION.NONE });
    w.give(w.float('ADD', [scaled, second], { activation: w.activation() }, w.out().shape));
  },
};
