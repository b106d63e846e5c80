/** A graph as an ncnn model: `.param`, `.bin`, and the `.table` of its factors to codes. */
import { filled } from '../../base/lists.js';
import type { Model } from '../../ir/model.js';
import { specOf } from '../../ops/index.js';
import { layersOf, type Edge, type Layer, type Layers } from '../shared/layers.js';
import { absent, assertTaken, floatLayers, opsetOf, refusing } from '../shared/refusals.js';
import type { EmitInput, Emitted, StaysFloat } from '../types.js';
import { binary, binaryOps, functions, unary, unaryOps } from './elementwise.js';
import { NcnnNet } from './file.js';
import * as pools from './pools.js';
import { convolution, deconvolution, gemm, matMul } from './products.js';
import * as shapes from './shapes.js';
import { ownSizes, sizeSettings } from './sizes.js';

/** Writes a layer; gives the reason where ncnn cannot take it. */
type Writer = (l: Layer, net: NcnnNet, opset: number) => string | undefined;

const every = (ops: readonly string[], writer: Writer): Record<string, Writer> =>
  Object.fromEntries(ops.map((op) => [op, writer]));
const WRITERS: Readonly<Record<string, Writer>> = {
  ...functions,
  ...every(binaryOps, binary),
  ...every(unaryOps, unary),
  ...every(pools.reductions, pools.reduce),
  ...every(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze'], shapes.view),
  ...every(['Identity', 'Dropout'], shapes.identity),
  ...every(['Resize', 'Upsample'], shapes.resize),
  ...every(['MaxPool', 'AveragePool'], pools.pool),
  ...every(['GlobalAveragePool', 'GlobalMaxPool'], pools.globalPool),
  Conv: convolution,
  ConvTranspose: deconvolution,
  Gemm: gemm,
  MatMul: matMul,
  Transpose: shapes.transpose,
  Concat: shapes.concat,
  Split: shapes.split,
  Slice: shapes.slice,
  Gather: shapes.gather,
  Pad: shapes.pad,
  DepthToSpace: shapes.depthToSpace,
  SpaceToDepth: shapes.spaceToDepth,
  Softmax: pools.softmax,
  LayerNormalization: pools.layerNormalization,
  BatchNormalization: pools.batchNormalization,
  InstanceNormalization: pools.instanceNormalization,
};

export function emit({ graph, example, precision, name }: EmitInput): Emitted {
  const net = new NcnnNet(precision);
  assertTaken('ncnn', write(layersOf(graph, example), net, opsetOf(graph.model)));
  const table = net.table;
  return {
    files: [
      { path: `${name}.param`, role: 'model', data: net.param },
      { path: `${name}.bin`, role: 'model', data: net.bin },
      ...(table ? [{ path: `${name}.table`, role: 'sidecar', data: table } as const] : []),
    ],
    floats: [],
  };
}

/** Every node of a float model that ncnn cannot take. */
export const refuses = ({ model }: { readonly model: Model }): readonly StaysFloat[] =>
  refusing(model, () => write(floatLayers(model), new NcnnNet('float32'), opsetOf(model)));

function write({ inputs, outputs, layers }: Layers, net: NcnnNet, opset: number): StaysFloat[] {
  const refused: StaysFloat[] = [];
  for (const e of [...inputs, ...outputs]) {
    const sizes = ownSizes(e);
    if (typeof sizes === 'string') refused.push({ node: e.name, op: 'graph', because: sizes });
  }
  for (const e of inputs) {
    const blob = net.free(e.name);
    const sizes = ownSizes(e);
    net.row('Input', e.name, [], [blob], typeof sizes === 'string' ? {} : sizeSettings(sizes));
    net.holds(e, blob);
  }
  const names = outputs.map((e) => net.free(e.name));
  for (const l of withActivations(layers)) {
    const because = reasonOf(l) ?? WRITERS[l.op]?.(l, net, opset);
    if (because === undefined) continue;
    refused.push({ node: l.name, op: l.op, because });
    for (const y of l.outputs) if (y) net.holds(y, y.name);
  }
  outputs.forEach((e, i) => net.rename(net.blob(e), filled(names, i)));
  return refused;
}

/** What no layer can have. */
function reasonOf(l: Layer): string | undefined {
  if (l.node.domain !== '' || !(l.op in WRITERS)) return absent(l.node);
  const edges = [...l.inputs, ...l.outputs].filter((e): e is Edge => e !== undefined);
  for (const e of edges) {
    if (e.dtype !== 'float32' && !mayBeIndices(l, e)) return `'${e.name}' is ${e.dtype}, not float32`;
    const sizes = e.data ? [] : ownSizes(e);
    if (typeof sizes === 'string') return sizes;
  }
  return undefined;
}
/** Shapes, axes and indices are read by writers as constants, or by Embed. */
const mayBeIndices = (l: Layer, e: Edge): boolean =>
  l.inputs.indexOf(e) > 0 && (e.data !== undefined || l.op === 'Gather');

/** A Relu or Clip that alone reads a product becomes part of it, where planning has not made it one. */
function withActivations(layers: readonly Layer[]): Layer[] {
  const reader = new Map<Edge, Layer>();
  for (const l of layers) for (const e of l.inputs) if (e) reader.set(e, l);
  const taken = new Set<Layer>();
  return layers.flatMap((l) => {
    if (taken.has(l)) return [];
    const [y] = l.outputs;
    if (!y || l.clamp || y.readers !== 1 || y.isOutput || !/^(Conv|ConvTranspose|Gemm)$/.test(l.op)) return [l];
    const next = reader.get(y);
    const role = next && specOf(next.node)?.quant;
    const clamp = next && role?.role === 'clamp' && next.inputs[0] === y ? role.bounds(next.node) : undefined;
    if (!next || !clamp) return [l];
    taken.add(next);
    return [{ ...l, outputs: next.outputs, clamp }];
  });
}
