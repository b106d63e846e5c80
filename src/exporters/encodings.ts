/**
 * Ranges of tensors as JSON beside the float model, for converters that quantize by given numbers. Source: AIMET,
 * "Quantization encoding specification", 0.6.1, which Qualcomm's converters take as quantization overrides.
 */
import { item } from '../base/lists.js';
import { z } from 'zod';
import { fail } from '../base/errors.js';
import { cloneModel } from '../ir/clone.js';
import { label, type Value } from '../ir/graph.js';
import { encodeModel } from '../onnx/encode.js';
import { forgetInferred } from '../ops/infer.js';
import { codeRange } from '../scheme/params.js';
import type { QuantizedGraph } from '../scheme/quantized.js';
import type { QuantParams } from '../scheme/types.js';
import type { Exporter } from './types.js';

const options = z.strictObject({
  biases: z
    .boolean()
    .default(false)
    .describe('Also the 32-bit encodings of biases, which converters derive from those of inputs and weights.'),
});

interface Encoding {
  readonly bitwidth: number;
  readonly dtype: 'int';
  readonly is_symmetric: 'True' | 'False';
  readonly max: number;
  readonly min: number;
  /** Of the lowest code: min = offset · scale. */
  readonly offset: number;
  readonly scale: number;
}

export const encodings = {
  name: 'encodings',
  doc: 'Scales and offsets by tensor as JSON (AIMET 0.6.1), and the float model that they belong to.',
  options,
  export(graph, { biases }) {
    const activations: Record<string, Encoding[]> = {};
    const params: Record<string, Encoding[]> = {};
    for (const [point, own] of byName(graph)) {
      if (own.scheme.dtype === 'int32' && !biases) continue;
      (point.data ? params : activations)[point.name] = encodingsOf(point, own);
    }
    const { model } = cloneModel(graph.model);
    forgetInferred(model);
    const json = { version: '0.6.1', activation_encodings: activations, param_encodings: params };
    return [
      { path: 'float.onnx', role: 'sidecar', data: encodeModel(model) },
      { path: 'float.encodings', role: 'sidecar', data: `${JSON.stringify(json, null, 1)}\n` },
    ];
  },
} as const satisfies Exporter<z.output<typeof options>>;

/** Parameters by tensor, in the order of names. The form has one encoding for all uses of a tensor. */
function byName({ params, model }: QuantizedGraph): [Value, QuantParams][] {
  const found = new Map<Value, QuantParams>();
  for (const [point, own] of params) {
    const value = 'node' in point ? point.node.inputs[point.index] : point;
    if (!value) continue;
    const before = found.get(value);
    if (before && !same(before, own)) {
      fail(
        'EXPORT_UNSUPPORTED',
        `'${value.name}' has other codes where '${'node' in point ? label(point.node) : model.graph.name}' reads it, ` +
          'and encodings have one range for each tensor',
        { tensor: value.name },
        'quantize all readers of the tensor alike, or take exports: encodings away',
      );
    }
    found.set(value, own);
  }
  return [...found].sort(([a], [b]) => (a.name < b.name ? -1 : 1));
}
const same = (a: QuantParams, b: QuantParams): boolean =>
  a.scheme.dtype === b.scheme.dtype &&
  a.scale.length === b.scale.length &&
  a.scale.every((s, i) => s === b.scale[i] && a.zeroPoint[i] === b.zeroPoint[i]);

function encodingsOf(value: Value, { scheme, scale, zeroPoint }: QuantParams): Encoding[] {
  if (scheme.granularity.kind === 'block') {
    fail(
      'EXPORT_UNSUPPORTED',
      `'${value.name}' has a scale for each block, and encodings have one for a tensor or a channel`,
      { tensor: value.name },
      'set weights.granularity: channel',
    );
  }
  const [low, high] = codeRange(scheme);
  return Array.from(scale, (s, i) => {
    const offset = low - item(zeroPoint, i); // one for each scale
    return {
      bitwidth: Math.ceil(Math.log2(high - low + 1)),
      dtype: 'int',
      is_symmetric: scheme.symmetric ? 'True' : 'False',
      max: (offset + high - low) * s,
      min: offset * s,
      offset,
      scale: s,
    };
  });
}
