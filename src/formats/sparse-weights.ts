/**
 * Weights of which many are zero, in a file that does not hold the zeros: as sparse initializers, or as a bit for each
 * place and the values of the others, put together from constants and so once, when the model is loaded.
 */
import { item } from '../base/lists.js';
import { byteLength, dtypeCode, type DType } from '../ir/dtype.js';
import type { Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { readsSparse } from '../onnx/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';

/** Ways to store; auto: of each weight the smallest. */
export const STORES = ['auto', 'dense', 'sparse', 'mask'] as const;
export type Store = (typeof STORES)[number];

/** First opset with all operators that put weights together. */
const MASK_OPSET = 11;
/** About what the nodes and names of one weight take. */
const MASK_BYTES = 700;
const SPARSE_BYTES = 60;
/** An index of a sparse initializer is an int64: ONNX knows no shorter one. */
const INDEX_BYTES = 8;
/** What is gained on a weight is at least this share of it, for loading takes longer. */
const LEAST_GAIN = 0.05;
const TYPES: ReadonlySet<DType> = new Set(['float32', 'float16', 'int8', 'uint8', 'int16', 'uint16']);

export interface Stored {
  readonly how: 'sparse' | 'mask';
  /** What the weight took, and takes about. */
  readonly dense: number;
  readonly bytes: number;
}
export interface SparseStore {
  readonly stored: readonly Stored[];
  /** What took the place of which value. */
  readonly replaced: ReadonlyMap<Value, Value>;
}

/**
 * Changes the model in place where that makes it smaller; weights keep their values bit for bit, but for the sign of
 * zero.
 */
export function storeSparse(model: Model, how: Store): SparseStore {
  const stored: Stored[] = [];
  const replaced = new Map<Value, Value>();
  const b = new GraphBuilder(model);
  if (how === 'dense') return { stored, replaced };
  for (const v of [...model.graph.initializers]) {
    const { data } = v;
    if (!data || data.sparse || data.dims.length < 2 || !TYPES.has(data.dtype)) continue;
    if (v.isGraphOutput || !v.uses.size) continue;
    const found = valuesOf(data, zeroOf(v));
    const width = byteLength(data.dtype, 1);
    const apart = found.count * (width + INDEX_BYTES);
    const sizes = {
      sparse: found.fill === 0 && readsSparse(data.byteLength, apart) ? apart + SPARSE_BYTES : Infinity,
      mask: b.opset >= MASK_OPSET ? data.size / 8 + found.count * width + MASK_BYTES : Infinity,
    };
    const best = how === 'auto' ? (sizes.sparse < sizes.mask ? 'sparse' : 'mask') : how;
    const bytes = Math.ceil(sizes[best]);
    if (!(bytes <= (1 - LEAST_GAIN) * data.byteLength)) continue;
    if (best === 'sparse') v.data = asSparse(data, found);
    else replaced.set(v, asMask(b, v, data, found));
    stored.push({ how: best, dense: data.byteLength, bytes });
  }
  return { stored, replaced };
}

/** The code of zero, where all who read the weight say the same; 0 for floats. */
function zeroOf(v: Value): number {
  const zeros = new Set<number>();
  for (const { node, index } of v.uses) {
    // Operators that read codes have their zero point as the input that is as far behind the scale as the scale is.
    const behind = node.inputs.slice(index + 1, index + 3).find((x) => x?.data?.dtype === v.data?.dtype);
    for (const z of behind?.data?.size ? behind.data.f64() : [0]) zeros.add(z);
  }
  const [only = 0] = zeros;
  return zeros.size === 1 ? only : 0;
}

interface Found {
  readonly fill: number;
  readonly count: number;
  /** 1 where an element is not the fill. */
  readonly other: Uint8Array;
}
function valuesOf(data: Tensor, fill: number): Found {
  const other = Uint8Array.from(data.f64(), (x) => (x === fill ? 0 : 1));
  return { fill, count: other.reduce((n, x) => n + x, 0), other };
}

/** The elements that are not the fill, in their order. */
function picked(data: Tensor, { other, count }: Found): Tensor {
  const width = byteLength(data.dtype, 1);
  const from = data.bytes();
  const made = new Uint8Array(count * width);
  for (let i = 0, to = 0; i < other.length; i++)
    if (other[i]) made.set(from.subarray(i * width, (i + 1) * width), to++ * width);
  return new Tensor(data.dtype, [count], made);
}

function asSparse(data: Tensor, found: Found): Tensor {
  const places: number[] = [];
  found.other.forEach((x, i) => x && places.push(i));
  const sparse = { values: picked(data, found), indices: Tensor.i64(places), valuesName: '', indicesName: '' };
  return new Tensor(data.dtype, data.dims, data.source, sparse);
}

/**
 * Bit k of byte q of the mask is of element k · run + q, so that one shift by eight numbers takes them apart. The
 * running count of bits says which value an element has; what has no bit has the first, the fill. All shapes are known
 * before: onnxruntime leaves NonZero to each run of the model, and what follows it.
 */
function asMask(b: GraphBuilder, v: Value, data: Tensor, found: Found): Value {
  const op = (kind: string, inputs: readonly Value[], attrs = {}): Value =>
    b.op(kind, inputs, { attrs, name: 'sparse' });
  const ints = (...values: readonly number[]): Value => b.constant(Tensor.i64(values), 'n');
  const bytes = (values: readonly number[], dims: readonly number[]): Value =>
    b.constant(Tensor.codes('uint8', values, dims), 'n');
  const run = Math.ceil(data.size / 8);
  const mask = new Uint8Array(run);
  for (let i = 0; i < data.size; i++)
    mask[i % run] = item(mask, i % run) | (item(found.other, i) << Math.floor(i / run));
  const shifted = op(
    'BitShift',
    [b.constant(new Tensor('uint8', [1, run], mask), `${v.name}_mask`), bytes([0, 1, 2, 3, 4, 5, 6, 7], [8, 1])],
    { direction: { type: 'string', value: 'RIGHT' } },
  );
  const flat = op('Reshape', [op('Mod', [shifted, bytes([2], [])]), ints(-1)]);
  const own = run * 8 === data.size ? flat : op('Slice', [flat, ints(0), ints(data.size), ints(0)]);
  const bits = op('Cast', [own], { to: dtypeCode('int32') });
  const places = op('Mul', [op('CumSum', [bits, b.constant(Tensor.i64([0], []), 'n')]), bits]);
  const values = b.constant(withFill(picked(data, found), found.fill), `${v.name}_values`);
  const made = op('Gather', [values, op('Reshape', [places, ints(...data.dims)])], { axis: 0 });
  b.graph.replaceUses(v, made);
  b.graph.initializers.delete(v);
  return made;
}

/** The fill, and the values behind it. */
function withFill(values: Tensor, fill: number): Tensor {
  const { dtype } = values;
  const first = dtype.startsWith('float') ? new Uint8Array(byteLength(dtype, 1)) : Tensor.codes(dtype, [fill]).bytes();
  const made = new Uint8Array(first.length + values.byteLength);
  made.set(first);
  made.set(values.bytes(), first.length);
  return new Tensor(dtype, [values.size + 1], made);
}
