/**
 * What MNN's converter makes an int8 model of: the float ONNX model and a table of scales (--compressionParamsFile, the
 * JSON form of MNN.Compression.Pipeline, proto3 names). source: tools/converter/proto/MNN_compression.proto,
 * tools/converter/source/common/FullQuantAndCoding.cpp of MNN 3.6
 */
import { filled, item, named } from '../../base/lists.js';
import { cloneModel } from '../../ir/clone.js';
import type { Node } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';
import { encodeModel } from '../../onnx/encode.js';
import { dequantize } from '../../scheme/arithmetic.js';
import type { QuantParams } from '../../scheme/types.js';
import { layersOf, type Layer } from '../shared/layers.js';
import type { EmitInput, Emitted, StaysFloat } from '../types.js';
import { meanWithoutPool } from './pools.js';

/** Of a tensor: a real value is scale · (code − zero point), codes lie within the clamps. */
interface Scales {
  readonly name: string;
  readonly bits: 8;
  readonly scales: readonly number[];
  readonly zeroPoint: number;
  readonly clampMin: -127;
  readonly clampMax: 127;
}
/** The converter looks for `output[0].name` among the tensors of its fused layers. */
interface QuantizedLayer {
  readonly input: readonly [Scales];
  readonly weight: readonly [Scales];
  readonly output: readonly [Scales];
  /** The others add products in int16 (OVERFLOW_AWARE) or change weights (WINOGRAD_AWARE). */
  readonly method: 'QAT';
}

const scalesOf = (name: string, scales: Iterable<number>, zeroPoint = 0): Scales => ({
  name,
  bits: 8,
  scales: [...scales],
  zeroPoint,
  clampMin: -127,
  clampMax: 127,
});

const activation = (name: string, { scale, zeroPoint }: QuantParams): Scales =>
  scalesOf(name, scale, item(zeroPoint, 0));

export function emit({ graph, example, precision }: EmitInput): Emitted {
  const { layers } = layersOf(graph, example);
  const { model, nodes } = cloneModel(graph.model);
  const verdicts = layers.flatMap((l) => (l.integer && l.coded.size ? [[l, quantizedLayer(l)] as const] : []));
  const table = verdicts.flatMap(([, v]) => (typeof v === 'string' ? [] : [v]));
  const onnx = { path: 'model.onnx', role: 'model' } as const;
  if (!table.length || precision !== 'float32')
    return { files: [{ ...onnx, data: encodeModel(model) }], floats: floatsOf(verdicts) };
  for (const l of layers) withValuesOfCodes(l, named(nodes, l.node));
  for (const l of layers) meanWithoutPool(l, model, named(nodes, l.node));
  return {
    files: [
      { ...onnx, data: encodeModel(model) },
      { path: 'compression.json', role: 'sidecar', data: `${JSON.stringify(pipeline(table))}\n` },
    ],
    artefact: '.',
    floats: floatsOf(verdicts),
  };
}

const pipeline = (layer: readonly QuantizedLayer[]): object => ({
  version: '0.0.0',
  algo: [{ type: 'QUANTIZE', quantParams: { roundMode: 'ROUND_HALF_TO_EVEN', layer } }],
  forGuide: false,
});

const floatsOf = (verdicts: readonly (readonly [Layer, QuantizedLayer | string])[]): StaysFloat[] =>
  verdicts.flatMap(([l, v]) => (typeof v === 'string' ? [{ node: l.name, op: l.op, because: v }] : []));

/** Scales of a product, or why it stays float. */
function quantizedLayer(l: Layer): QuantizedLayer | string {
  const weight = l.coded.get(1);
  const [x] = l.inputs;
  const [y] = l.outputs;
  if (!weight || !x?.params || !y?.params) return 'its input, weight and result do not all have scales';
  const depthwise = l.op === 'Conv' && item(weight.codes.dims, 1) === 1;
  // They are parted into convolutions of other names: OnnxConvolutionMerge.cpp.
  if (l.op === 'Conv' && l.node.int('group', 1) > 1 && !depthwise) return 'the converter parts grouped convolutions';
  return {
    input: [activation(x.name, x.params)],
    weight: [scalesOf(`${l.name}_weight`, perChannel(l, weight.codes.dims, weight.params))],
    output: [activation(y.name, y.params)],
    method: 'QAT',
  };
}

/** A scale for each output channel, as the converter wants them. */
function perChannel({ op, node }: Layer, dims: readonly number[], { scale }: QuantParams): Float32Array {
  if (scale.length > 1) return scale;
  const rows = op === 'Conv' || (op === 'Gemm' && node.int('transB', 0) === 1);
  return new Float32Array(item(dims, rows ? 0 : dims.length - 1)).fill(item(scale, 0));
}

/** The converter rounds weights itself: the values of the codes, it rounds to the same codes. */
function withValuesOfCodes(l: Layer, node: Node): void {
  for (const [i, { codes, params }] of l.coded) {
    const v = filled(node.inputs, i);
    if (v.data && params.scheme.dtype === 'int8') v.data = Tensor.f32(dequantize(codes, params), v.data.dims);
  }
}
