/** Operators that several standard ones take the place of, so that gradients go back through those. */
import type { Node, Shape, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { encodeTensor } from '../ir/encode.js';
import { GraphBuilder } from '../rewrite/builder.js';

/** What takes the place of a node: one value for each output; undefined where a form is not known. */
type Expansion = (e: Expander) => (Value | undefined)[] | undefined;

/** Builds beside a node, in names like its own. */
class Expander {
  readonly b: GraphBuilder;
  readonly node: Node;
  readonly #name: string;
  constructor(b: GraphBuilder, node: Node) {
    this.b = b;
    this.node = node;
    this.#name = node.outputs[0]?.name || node.op;
  }
  op(op: string, inputs: readonly Value[], attrs: Readonly<Record<string, number | readonly number[]>> = {}): Value {
    return this.b.op(op, inputs, { attrs, name: this.#name });
  }
  ints = (values: readonly number[]): Value => this.b.constant(Tensor.i64(values), `${this.#name}_sizes`);
  /** A number of the type of a value. */
  number = (like: Value, value: number): Value =>
    this.b.constant(encodeTensor(like.dtype ?? 'float32', [], [value]), `${this.#name}_number`);
  view = (v: Value, sizes: readonly number[]): Value => this.op('Reshape', [v, this.ints(sizes)]);
  turn = (v: Value, perm: readonly number[]): Value => this.op('Transpose', [v], { perm });
  times = (v: Value, factor: number): Value => (factor === 1 ? v : this.op('Mul', [v, this.number(v, factor)]));
  /** Elements from, to, in steps, along an axis. */
  slice = (v: Value, axis: number, from: number, to: number, step = 1): Value =>
    this.op('Slice', [v, this.ints([from]), this.ints([to]), this.ints([axis]), this.ints([step])]);
}

/**
 * softmax(Q·Kᵀ·scale + mask)·V by head. Without softcap, lengths of padding, the scores as an output, and causal masks
 * of what has a past, on which versions differ. source: https://onnx.ai/onnx/operators/onnx__Attention.html
 */
const attention: Expansion = (e) => {
  const { node } = e;
  const [q, k, v, mask, pastKey, pastValue, lengths] = node.inputs;
  const heads = [node.int('q_num_heads', 0), node.int('kv_num_heads', 0), node.int('kv_num_heads', 0)] as const;
  const [causal, scores] = [node.int('is_causal', 0) === 1, node.outputs[3]];
  if (!q || !k || !v || lengths || node.float('softcap', 0) !== 0 || (causal && pastKey)) return undefined;
  if (scores && (scores.uses.size > 0 || scores.isGraphOutput)) return undefined;
  const flat = q.shape?.length === 3;
  const byHead = [q, k, v].map((x, i) => inHeads(e, x, heads[i] ?? 0));
  const [query, newKey, newValue] = byHead;
  if (!query || !newKey || !newValue) return undefined;
  const key = pastKey ? e.op('Concat', [pastKey, newKey], { axis: 2 }) : newKey;
  const value = pastValue ? e.op('Concat', [pastValue, newValue], { axis: 2 }) : newValue;
  const [batch = 0, queries = 0, length = 0, depth = 0] = known(query.shape) ?? [];
  const [, groups = 0, total = 0] = known(key.shape) ?? [];
  const width = known(value.shape)?.[3];
  if (!depth || !groups || !total || width === undefined || queries % groups) return undefined;
  const shared = (x: Value): Value => repeated(e, x, queries / groups);
  const root = Math.sqrt(node.float('scale', 1 / Math.sqrt(depth)));
  const turned = e.turn(e.times(shared(key), root), [0, 1, 3, 2]);
  const products = e.op('MatMul', [e.times(query, root), turned]);
  const bias = maskOf(e, mask ?? undefined, query, causal ? [length, total] : undefined);
  const biased = bias.reduce((sum, m) => e.op('Add', [sum, m]), products);
  const y = e.op('MatMul', [e.op('Softmax', [biased], { axis: -1 }), shared(value)]);
  const joined = flat ? e.view(e.turn(y, [0, 2, 1, 3]), [batch, length, queries * width]) : y;
  return [joined, key, value];
};

/** [batch, heads, sequence, d]. */
function inHeads(e: Expander, x: Value, heads: number): Value | undefined {
  const sizes = known(x.shape);
  if (sizes?.length === 4) return x;
  const [batch = 0, sequence = 0, width = 0] = sizes ?? [];
  if (sizes?.length !== 3 || heads < 1 || width % heads) return undefined;
  return e.turn(e.view(x, [batch, sequence, heads, width / heads]), [0, 2, 1, 3]);
}
/** Each head so many times in a row: several heads of queries share one of keys. */
function repeated(e: Expander, x: Value, times: number): Value {
  const [batch = 0, heads = 0, sequence = 0, d = 0] = known(x.shape) ?? [];
  if (times === 1) return x;
  const apart = e.view(x, [batch, heads, 1, sequence, d]);
  const all = e.op('Expand', [apart, e.ints([batch, heads, times, sequence, d])]);
  return e.view(all, [batch, heads * times, sequence, d]);
}
/** So low that nothing is left of it in float32, and no infinity that a difference of two makes NaN. */
const UNSEEN = -1e30;
function maskOf(e: Expander, mask: Value | undefined, like: Value, causal: readonly number[] | undefined): Value[] {
  const bias: Value[] = [];
  if (mask) bias.push(mask.dtype === 'bool' ? e.op('Where', [mask, e.number(like, 0), e.number(like, UNSEEN)]) : mask);
  if (causal) {
    const [rows = 0, columns = 0] = causal;
    const values = Array.from({ length: rows * columns }, (_, i) =>
      i % columns > Math.floor(i / columns) ? UNSEEN : 0,
    );
    bias.push(e.b.constant(encodeTensor(like.dtype ?? 'float32', causal, values), 'causal_mask'));
  }
  return bias;
}

/**
 * Pairs of elements (a, b) become (a·cos − b·sin, a·sin + b·cos).
 * source: https://onnx.ai/onnx/operators/onnx__RotaryEmbedding.html
 */
const rotaryEmbedding: Expansion = (e) => {
  const { node } = e;
  const [given, cosines, sines, positions] = node.inputs;
  const sizes = known(given?.shape);
  if (!given || !cosines || !sines || !sizes) return undefined;
  const x = inHeads(e, given, node.int('num_heads', 0));
  const [batch = 0, heads = 0, sequence = 0, d = 0] = known(x?.shape) ?? [];
  const turned = node.int('rotary_embedding_dim', 0) || d;
  if (!x || !turned) return undefined;
  const half = turned / 2;
  const angles = (cache: Value): Value =>
    e.view(positions ? e.op('Gather', [cache, positions], { axis: 0 }) : cache, [-1, 1, sequence, half]);
  const [cos, sin] = [angles(cosines), angles(sines)];
  const interleaved = node.int('interleaved', 0) === 1;
  const [a, b] = interleaved
    ? [e.slice(x, 3, 0, turned, 2), e.slice(x, 3, 1, turned, 2)]
    : [e.slice(x, 3, 0, half), e.slice(x, 3, half, turned)];
  const first = e.op('Sub', [e.op('Mul', [a, cos]), e.op('Mul', [b, sin])]);
  const second = e.op('Add', [e.op('Mul', [a, sin]), e.op('Mul', [b, cos])]);
  const pairs = [first, second].map((v) => (interleaved ? e.view(v, [batch, heads, sequence, half, 1]) : v));
  const joined = e.op('Concat', pairs, { axis: -1 });
  const rotated = interleaved ? e.view(joined, [batch, heads, sequence, turned]) : joined;
  const whole = turned < d ? e.op('Concat', [rotated, e.slice(x, 3, turned, d)], { axis: -1 }) : rotated;
  return [sizes.length === 3 ? e.view(e.turn(whole, [0, 2, 1, 3]), sizes) : whole];
};

/**
 * x / (bias + alpha · mean of squares over neighbouring channels)^beta, the mean over `size` places of which those
 * beyond the edge are zeros. source: https://onnx.ai/onnx/operators/onnx__LRN.html
 */
const localResponse: Expansion = (e) => {
  const { node } = e;
  const [x] = node.inputs;
  const sizes = known(x?.shape);
  if (!x || !sizes || sizes.length < 2) return undefined;
  const [batch = 0, channels = 0] = sizes;
  const size = node.int('size', 1);
  const rows = e.view(e.op('Mul', [x, x]), [batch, 1, channels, -1]);
  const before = Math.floor((size - 1) / 2);
  const pads = [before, 0, size - 1 - before, 0];
  const mean = e.op('AveragePool', [rows], { kernel_shape: [size, 1], pads, count_include_pad: 1 });
  const sum = e.op('Add', [
    e.times(e.view(mean, sizes), node.float('alpha', 1e-4)),
    e.number(x, node.float('bias', 1)),
  ]);
  return [e.op('Div', [x, e.op('Pow', [sum, e.number(x, node.float('beta', 0.75))])])];
};

const EXPANSIONS: Readonly<Record<string, Expansion>> = {
  Attention: attention,
  RotaryEmbedding: rotaryEmbedding,
  LRN: localResponse,
};

/** Whether an operator of the standard domain has a form in others. */
export const isExpanded = (op: string, domain: string): boolean => domain === '' && Object.hasOwn(EXPANSIONS, op);

/** What an operator is made of; undefined for others, and for forms that are not known. Needs inferred shapes. */
export function expandOp(model: Model, node: Node): (Value | undefined)[] | undefined {
  const expand = isExpanded(node.op, node.domain) ? EXPANSIONS[node.op] : undefined;
  return expand?.(new Expander(new GraphBuilder(model), node));
}

const known = (shape: Shape | undefined): readonly number[] | undefined =>
  shape?.every((d) => typeof d === 'number') ? shape.map(Number) : undefined;
