/** Which tensors need a NaN probe of their own. */
import type { Node, Value } from '../ir/graph.js';
import { linearView, specOf } from '../ops/index.js';
import { mixesAll } from '../ops/kinds.js';

/**
 * Whether every element of `v` enters, by multiplication or addition, a tensor that is tapped too: then NaN shows up
 * there, since NaN times or plus anything is NaN and Relu lets it pass (seen with onnxruntime 1.30, NCHWc kernels
 * included). Follows one step: Conv whose windows leave out no element, Gemm, MatMul, Add, Mul, GlobalAveragePool, and
 * a clamp behind. A chain of such steps ends in a tensor with a probe, because the graph has no cycles.
 */
export function showsLater(v: Value, tapped: ReadonlySet<Value>): boolean {
  return [...v.uses].some(({ node, index }) => {
    const y = node.outputs[0];
    if (!y || index > 1 || !keepsNaN(node, v, index)) return false;
    if (tapped.has(y)) return true;
    const [next] = y.uses;
    const clamped =
      y.uses.size === 1 && next && specOf(next.node)?.quant.role === 'clamp' ? next.node.outputs[0] : undefined;
    return clamped !== undefined && tapped.has(clamped);
  });
}

function keepsNaN(node: Node, v: Value, index: number): boolean {
  const quant = specOf(node)?.quant;
  if (quant?.role === 'compute') {
    const view = linearView(node);
    return view !== undefined && quant.weight !== index && (view.kind !== 'window' || coversAll(node, v));
  }
  return quant?.role === 'arithmetic' && mixesAll(node);
}

/** No element lies between the windows or beyond the last one. */
function coversAll(conv: Node, x: Value): boolean {
  const kernel = conv.inputs[1]?.shape?.slice(2);
  const sizes = x.shape?.slice(2);
  if (
    !kernel ||
    !sizes ||
    conv.string('auto_pad', 'NOTSET') !== 'NOTSET' ||
    conv.ints('dilations', []).some((d) => d !== 1)
  )
    return false;
  const strides = conv.ints(
    'strides',
    kernel.map(() => 1),
  );
  const pads = conv.ints(
    'pads',
    kernel.flatMap(() => [0, 0]),
  );
  return kernel.every((k, i) => {
    const size = sizes[i];
    const stride = strides[i] ?? 1;
    if (typeof k !== 'number' || typeof size !== 'number' || k < stride) return false;
    const slack = (size + (pads[i] ?? 0) + (pads[i + kernel.length] ?? 0) - k) % stride;
    return slack <= (pads[i + kernel.length] ?? 0); // what the last window leaves out is padding
  });
}
