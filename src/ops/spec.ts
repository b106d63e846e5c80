/**
 * What the project knows about an operator. Every facet is required, so adding one makes the compiler list the work.
 */
import { fail } from '../base/errors.js';
import type { DType } from '../ir/dtype.js';
import { label, MAX_RANK, type Dim, type Node, type Shape } from '../ir/graph.js';
import type { Tensor } from '../ir/tensor.js';
import type { GradientFacet, GradientRule, LinearRule, LinkFacet, LinkRule } from './facets.js';

/** What is known of a value without running the model. */
export interface Known {
  readonly dtype: DType | undefined;
  readonly shape: Shape | undefined;
  /** The elements of a small integer tensor (shape arithmetic): numbers, symbolic sizes, or null where unknown. */
  readonly ints?: readonly Dim[] | undefined;
}

export interface InferContext {
  readonly node: Node;
  /** Opset version of the node's domain. */
  readonly opset: number;
  /** Facts about input i; undefined where the input is omitted. */
  input(i: number): Known | undefined;
  /** The constant behind input i, if it is one. */
  constant(i: number): Tensor | undefined;
  /** Facts about a subgraph's outputs (If, Loop, Scan). */
  subgraph(attribute: string): readonly Known[];
}

/** Work of one run of a node. */
export interface Cost {
  readonly macs: number;
  readonly otherOps: number;
}

/**
 * The op that takes codes with their scales and zero points in place of a float op, and the order of its inputs, with
 * (v) for the triple value, scale, zero point and (s) for scale, zero point of the result:
 * conv (x)(w)(s)bias · gemm (a)(b)bias(s) · each (a)(b)…(s) · concat (s)(a)(b)… · where condition(a)(b)(s).
 */
export interface QLinearForm {
  readonly op: string;
  readonly domain: '' | 'com.microsoft';
  readonly form: 'conv' | 'gemm' | 'each' | 'concat' | 'where';
  readonly attrs?: Readonly<Record<string, number>>;
}
const MS = 'com.microsoft';
/** ONNX Runtime's QLinear form of an op whose operands and result are triples. */
export const qlinearEach = (op: string, attrs?: Readonly<Record<string, number>>): QLinearForm => ({
  op,
  domain: MS,
  form: 'each',
  ...(attrs ? { attrs } : {}),
});

/**
 * What quantization may do with an op. Whether a runtime has an integer kernel for it is the target's knowledge, not
 * ours.
 * - compute: multiply-accumulate of an activation with a weight (or a second activation); int32 accumulators.
 * - arithmetic: each input and the output have a scale of their own (Add, Mul, Concat, AveragePool, Sigmoid).
 * - passthrough: moves, selects or compares elements; input `data` and every output share one scale.
 * - clamp: output is the input clamped to [low, high]; disappears into the output range of the op before it.
 */
export type QuantRole =
  | {
      readonly role: 'compute';
      readonly activations: readonly number[];
      readonly weight: number;
      readonly bias?: number;
      readonly qlinear?: QLinearForm;
      /** Axis of the weight that holds output channels, or a reason why the node cannot be quantized. */
      channelAxis(node: Node, weightRank: number): number | { readonly float: string };
    }
  | {
      readonly role: 'arithmetic';
      readonly inputs: 'all' | readonly number[];
      readonly range?: readonly [number, number];
      readonly qlinear?: QLinearForm;
      /**
       * An op with a kernel of which this one is an image: f(x) = a · twin(factor · x) + b takes `range` to `range` of
       * the twin, so that the codes are the same under other scales.
       */
      readonly twin?: { readonly op: string; readonly factor: number; readonly range: readonly [number, number] };
    }
  | { readonly role: 'passthrough'; readonly data: 'all' | readonly number[]; when?(node: Node): true | string }
  | { readonly role: 'clamp'; bounds(node: Node): readonly [number, number] | undefined }
  | { readonly role: 'float'; readonly because: string };

export interface OpSpec {
  readonly op: string;
  readonly domain: string;
  /** First opset that has the op. */
  readonly since: number;
  readonly doc: string;
  /**
   * Facts about the outputs. Unknown parts stay undefined, and sizes that cannot be are cleaned afterwards. What no
   * runtime takes, such as an axis that the input lacks, throws GRAPH_INVALID.
   */
  infer(ctx: InferContext): readonly Known[];
  readonly cost: ((inputs: readonly (Known | undefined)[], outputs: readonly Known[], node: Node) => Cost) | 'free';
  readonly quant: QuantRole;
  /** Its products with weights; 'no' for ops that multiply none. */
  readonly linear: LinearRule | 'no';
  /** Which channels of inputs and outputs are the same; 'opaque' where nothing is known to be. */
  readonly links: LinkRule | LinkFacet | 'opaque';
  /** How gradients go back through it; 'zero' where the result does not change with small changes of the inputs. */
  readonly gradient: GradientRule | GradientFacet | 'zero' | 'unsupported';
  /** False for ops whose result is not a function of their inputs (random numbers), or whose folding would be wrong. */
  readonly foldable: boolean;
}

/** Of an op that multiplies no weight, ties no channels, and through which no gradient is known to go. */
export const PLAIN = { linear: 'no', links: 'opaque', gradient: 'unsupported' } as const;
/** Of an op whose result steps, or tells of shapes: no gradient goes through it. */
export const STEPS = { linear: 'no', links: 'opaque', gradient: 'zero' } as const;

export const UNKNOWN: Known = { dtype: undefined, shape: undefined };
/** Product of a shape's sizes; unknown and symbolic sizes count as `unknown`. */
export function sizeOf(shape: Shape | undefined, unknown = 1): number {
  if (!shape) return unknown;
  return shape.reduce<number>((n, d) => n * (typeof d === 'number' ? d : unknown), 1);
}
/** Cost of one operation per output element. */
export const perElement = (_inputs: readonly (Known | undefined)[], outputs: readonly Known[]): Cost => ({
  macs: 0,
  otherOps: sizeOf(outputs[0]?.shape),
});

/** Numpy broadcasting of shapes; a size of 1 gives way, equal symbols stay, anything else unknown becomes null. */
export function broadcast(a: Shape | undefined, b: Shape | undefined): Shape | undefined {
  if (!a || !b) return undefined;
  if (covers(a, b)) return a;
  if (covers(b, a)) return b;
  const rank = Math.max(a.length, b.length);
  const out: Dim[] = [];
  for (let i = 0; i < rank; i++) {
    const x = i < rank - a.length ? 1 : a[i - (rank - a.length)]!;
    const y = i < rank - b.length ? 1 : b[i - (rank - b.length)]!;
    if (x === 1) out.push(y);
    else if (y === 1 || x === y) out.push(x);
    else if (typeof x === 'number') out.push(x);
    else if (typeof y === 'number') out.push(y);
    else out.push(null);
  }
  return out;
}

/** Whether every size of `b` is 1 or surely that of `a`: what both broadcast to then has the shape of `a`. */
function covers(a: Shape, b: Shape): boolean {
  const before = a.length - b.length;
  if (before < 0) return false;
  for (let i = 0; i < b.length; i++) {
    if (b[i] !== 1 && (b[i] === null || b[i] !== a[before + i])) return false;
  }
  return true;
}

/** An axis as given (negative counts from the end) → 0..rank-1. */
export const normalAxis = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/**
 * As {@link normalAxis}, for a node of a file. Throws GRAPH_INVALID for an axis that a tensor of `rank` axes does
 * not have.
 */
export function axisOf({ node }: Pick<InferContext, 'node'>, axis: number, rank: number): number {
  const from = normalAxis(axis, rank);
  // Runtimes take axis 0 of a scalar for the scalar itself.
  if (from >= 0 && from < Math.max(rank, 1)) return from;
  return fail(
    'GRAPH_INVALID',
    `'${label(node)}' (${node.op}) names axis ${axis} of a tensor of ${rank} axes`,
    { node: label(node) },
    rank === 0 ? 'a scalar has no axes' : `axes are ${-rank} to ${rank - 1}`,
  );
}

/** Throws GRAPH_INVALID for a node of any number of inputs that has none. */
export function atLeastOne({ node }: Pick<InferContext, 'node'>): void {
  if (node.inputs.length === 0) {
    fail(
      'GRAPH_INVALID',
      `'${label(node)}' (${node.op}) has no inputs`,
      { node: label(node) },
      'it takes at least one',
    );
  }
}

/** Throws GRAPH_INVALID where a list is not as long as the axes that it belongs to. */
export function checkLength({ node }: Pick<InferContext, 'node'>, what: string, length: number, wanted: number): void {
  if (length !== wanted) {
    fail('GRAPH_INVALID', `'${label(node)}' (${node.op}) has ${length} ${what} where ${wanted} belong`, {
      node: label(node),
    });
  }
}

/**
 * Of a tensor of which only the number of axes is known. Throws MODEL_LIMIT for one that no tensor has: the runtime
 * would make room for all of them.
 */
export function ofRank({ node }: Pick<InferContext, 'node'>, rank: Dim | undefined): Shape | undefined {
  if (typeof rank !== 'number') return undefined;
  if (rank > MAX_RANK) {
    fail(
      'MODEL_LIMIT',
      `'${label(node)}' (${node.op}) makes a tensor of ${rank} axes`,
      { node: label(node) },
      `tensors have at most ${MAX_RANK}`,
    );
  }
  return Array<null>(Math.max(0, rank)).fill(null);
}
/** A size that was computed: unknown where it is no whole number from 0 to 2^53, which no tensor has. */
export const wholeSize = (d: Dim | undefined): Dim =>
  typeof d === 'number' && !(Number.isSafeInteger(d) && d >= 0) ? null : (d ?? null);

/** Integer elements of an input: from its constant, or from shape arithmetic. Elements beyond 2^53 are unknown. */
export function intsOf(ctx: InferContext, i: number): readonly Dim[] | undefined {
  const c = smallInts(ctx, i);
  return c ? c.map((v) => (Number.isSafeInteger(Number(v)) ? Number(v) : null)) : ctx.input(i)?.ints;
}
/** As {@link intsOf}, but only where every element is known; "to the end" (INT64_MAX) of a constant saturates. */
export function numbersOf(ctx: InferContext, i: number): readonly number[] | undefined {
  const c = smallInts(ctx, i);
  if (c) return c.map((v) => Math.min(Math.max(Number(v), Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER));
  const ints = ctx.input(i)?.ints;
  return ints?.every((d): d is number => typeof d === 'number') ? ints : undefined;
}
function smallInts(ctx: InferContext, i: number): readonly bigint[] | undefined {
  const c = ctx.constant(i);
  return c && (c.dtype === 'int64' || c.dtype === 'int32') && c.size <= 4096 ? c.ints() : undefined;
}
/** Axes from an input (newer opsets) or an attribute (older ones); undefined where neither is present or known. */
export function axesOf(ctx: InferContext, input: number): readonly number[] | undefined {
  if (ctx.node.attrs.has('axes')) return ctx.node.ints('axes');
  return ctx.node.inputs[input] ? numbersOf(ctx, input) : undefined;
}
