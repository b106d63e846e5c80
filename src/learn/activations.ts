/** Activations as the quantized model has them, in a form that gradients pass through. */
import { integerRange } from '../ir/dtype.js';
import type { Value } from '../ir/graph.js';
import type { GraphBuilder } from '../rewrite/builder.js';
import type { QuantParams, QuantPoint } from '../scheme/types.js';

/**
 * Everybody who reads a value reads it quantized and dequantized. The gradient is that of clipping: rounding counts as
 * if it did nothing. `find` gives the value of the graph for one that parameters belong to.
 */
export function quantizeActivations(
  b: GraphBuilder,
  activations: ReadonlyMap<QuantPoint, QuantParams>,
  find: (v: Value) => Value | undefined,
): void {
  for (const [point, { scheme, scale, zeroPoint }] of activations) {
    const v = 'uses' in point ? find(point) : undefined;
    const range = /^u?int(8|16)$/.test(scheme.dtype) ? integerRange(scheme.dtype) : undefined;
    if (!v || v.data || !range || scheme.granularity.kind !== 'tensor') continue;
    const readers = [...v.uses];
    const op = (kind: string, ...inputs: readonly Value[]): Value => b.op(kind, inputs, { name: 'fake_quantized' });
    const [low, high] = range.map((code) => b.constant(code - (zeroPoint[0] ?? 0), 'fake_quantized_end'));
    const step = b.constant(scale[0] ?? 1, 'fake_quantized_scale');
    if (!low || !high) continue;
    const made = op('Mul', op('Round', op('Clip', op('Div', v, step), low, high)), step);
    for (const u of readers) u.node.setInput(u.index, made);
  }
}
