/**
 * A quantized graph as a list of layers in JSON, with its tensors in safetensors: what loaders in
 * other languages build a
 * model from, where a runtime has operators but no file of its own for them.
 */
import { fail } from '../../base/errors.js';
import { item } from '../../base/lists.js';
import type { ExportedFile } from '../../exporters/types.js';
import type { Attr } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';
import { dequantize } from '../../scheme/arithmetic.js';
import type { EmitInput, Emitter } from '../types.js';
import { FOLDED, foldedCopy } from './folded.js';
import { layersIn, type Edge, type Layer } from './layers.js';
import { refusalsByName } from './refusals.js';
import { script } from './scripts.js';
import { windowOf } from '../../ops/window.js';

/**
 * Of a runtime whose loader, load.py in the folder `from`, builds the model of operators in `known`: for sizes of one
 * sample, or for any, where the loader has the operators that compute with shapes.
 */
export const programEmitter = (from: string, known: string, sizes: 'fixed' | 'any'): Emitter => ({
  precisions: ['float32'],
  refuses: ({ model }) => refusalsByName(model, new Set([...known.split(' '), ...FOLDED])),
  emit: async (input) => ({
    files: [...(await programFiles(input, sizes)), script(from, 'load.py'), script('shared', 'program.py')],
    artefact: 'load.py',
    floats: [],
  }),
});

/** Loaders know operators in this form. */
const OPSET = 13;

/** How a tensor is quantized, in codes of int8 or uint8. */
interface EdgeFacts {
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly scale?: number;
  readonly zeroPoint?: number;
  readonly codes?: string;
  /** Name of a constant in the tensor file. */
  readonly constant?: string;
}

/** `program.json` and `program.safetensors`. Throws EXPORT_UNSUPPORTED for tensors with scales by channel or block. */
async function programFiles(
  { graph, example, name }: Pick<EmitInput, 'graph' | 'example' | 'name'>,
  sizes: 'fixed' | 'any',
): Promise<ExportedFile[]> {
  const { inputs, outputs, layers } = layersIn(graph, await foldedCopy(graph, example, { sizes, opset: OPSET }));
  const tensors = new Map<string, Tensor>();
  const edges: Record<string, EdgeFacts> = {};
  const put = (key: string, t: Tensor): string => {
    tensors.set(key, t);
    return key;
  };
  const nameOf = (e: Edge): string => {
    edges[e.name] ??= factsOf(e, put);
    return e.name;
  };
  const listed = layers.map((l) => layerOf(l, nameOf, put));
  const program = {
    version: 1,
    name,
    // A model that is fixed to one sample is run on more of them, too.
    oneSample: graph.model.graph.inputs.every((v) => v.data !== undefined || v.shape?.[0] === 1),
    inputs: inputs.map(nameOf),
    outputs: outputs.map(nameOf),
    edges,
    layers: listed,
  };
  return [
    { path: 'program.json', role: 'sidecar', data: `${JSON.stringify(program)}\n` },
    { path: 'program.safetensors', role: 'model', data: safetensors(tensors) },
  ];
}

function factsOf(e: Edge, put: (key: string, t: Tensor) => string): EdgeFacts {
  const base = { shape: e.shape, dtype: e.dtype };
  if (e.data) return { ...base, constant: put(`constant:${e.name}`, e.data) };
  if (!e.params) return base;
  const { scale, zeroPoint, scheme } = e.params;
  if (scale.length !== 1)
    return fail(
      'EXPORT_UNSUPPORTED',
      `'${e.name}' has ${scale.length} scales`,
      { tensor: e.name },
      'use one for each tensor',
    );
  return { ...base, scale: item(scale, 0), zeroPoint: item(zeroPoint, 0), codes: scheme.dtype };
}

function layerOf(l: Layer, nameOf: (e: Edge) => string, put: (key: string, t: Tensor) => string): object {
  const coded: Record<string, object> = {};
  for (const [index, { codes, params }] of l.coded) {
    const key = `${l.name}:${index}`;
    // Kernels that take float biases add what the codes mean.
    if (params.scheme.dtype === 'int32') {
      coded[index] = { float: put(key, Tensor.f32(dequantize(codes, params), codes.dims)) };
      continue;
    }
    const { granularity: g } = params.scheme;
    if (g.kind === 'block')
      fail(
        'EXPORT_UNSUPPORTED',
        `a weight of '${l.name}' has blocks of scales`,
        { node: l.name },
        'use scales by channel',
      );
    coded[index] = {
      codes: put(key, codes),
      scales: put(`${key}:scale`, Tensor.f32(params.scale, [params.scale.length])),
      zeroPoints: Array.from(params.zeroPoint),
      axis: g.kind === 'axis' ? g.axis : null,
    };
  }
  return {
    op: l.copy.op,
    name: l.name,
    integer: l.integer,
    // What is in codes is stored once.
    inputs: l.inputs.map((e, i) => (e && !l.coded.has(i) ? nameOf(e) : null)),
    outputs: l.outputs.map((e) => (e ? nameOf(e) : null)),
    attrs: { ...Object.fromEntries([...l.copy.attrs].flatMap(([key, a]) => plain(key, a))), ...windowAttrs(l) },
    ...(l.clamp ? { clamp: l.clamp.map((x) => (Number.isFinite(x) ? x : null)) } : {}),
    ...(l.coded.size ? { coded } : {}),
  };
}

/** Windows with all sizes settled. */
function windowAttrs(l: Layer): Record<string, readonly number[]> {
  const [x, w] = l.inputs;
  const [y] = l.outputs;
  const weight = l.op === 'Conv' ? (w?.data ?? l.coded.get(1)?.codes) : undefined;
  const kernel = l.node.ints('kernel_shape', weight?.dims.slice(2) ?? []);
  if (!kernel.length || !x || !y) return {};
  const { before, after, strides, dilations } = windowOf(l.node, kernel, x.shape.slice(2), y.shape.slice(2));
  return { pads: [...before, ...after], strides, dilations, kernel_shape: kernel };
}

/** Numbers, lists of them and text; a tensor as its one number and its type, as ConstantOfShape has it. */
function plain(key: string, a: Attr): [string, unknown][] {
  switch (a.type) {
    case 'int':
      return [[key, Number(a.value)]];
    case 'ints':
      return [[key, a.value.map(Number)]];
    case 'float':
    case 'floats':
      return [[key, a.value]];
    case 'tensor':
      return a.value.size === 1 ? [[key, { number: item(a.value.f64(), 0), dtype: a.value.dtype }]] : [];
    case 'string':
      return typeof a.value === 'string' ? [[key, a.value]] : [];
    default:
      return [];
  }
}

const TYPES: Readonly<Record<string, string>> = {
  float32: 'F32',
  float16: 'F16',
  float64: 'F64',
  int8: 'I8',
  uint8: 'U8',
  int16: 'I16',
  int32: 'I32',
  int64: 'I64',
  bool: 'BOOL',
};

/**
 * Tensors in one file: the length of the header as a little-endian uint64, the header as JSON, the data. Source:
 * https://huggingface.co/docs/safetensors
 */
export function safetensors(tensors: ReadonlyMap<string, Tensor>): Uint8Array {
  const header: Record<string, object> = {};
  let at = 0;
  const parts = [...tensors].map(([name, t]) => {
    const dtype = TYPES[t.dtype] ?? fail('EXPORT_UNSUPPORTED', `'${name}' is of ${t.dtype}`, { tensor: name });
    const bytes = t.source.read();
    header[name] = { dtype, shape: t.dims, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
    return bytes;
  });
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded, ...parts]);
}
