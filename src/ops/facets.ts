/** What an operator's facets say: products with weights, channels that stay channels, and how gradients go back. */
import type { Node, Value } from '../ir/graph.js';
import type { Tensor } from '../ir/tensor.js';

/**
 * One weight of a node as the matrix W of a product: y[…, o, …] = alpha · Σ x[…, i, …] · W[o, i] + beta · b[o]. Axes of
 * the weight count from 0, those of data and result may be negative: they count from the end.
 */
export interface LinearView {
  /**
   * window: a convolution, summed over positions too · transposed: its transpose · product: a matrix · lookup: a table
   * of which rows are chosen · cell: of a recurrent cell · scale: a diagonal, a factor for each channel.
   */
  readonly kind: 'window' | 'transposed' | 'product' | 'lookup' | 'cell' | 'scale';
  /** Inputs of the node: activations or indices, the weight, and what is added to each output channel. */
  readonly data: number;
  readonly weight: number;
  readonly bias?: number;
  /** Axis of the data that the product sums over, and of the result that it makes. */
  readonly dataAxis: number;
  readonly resultAxis: number;
  /** Axes of the weight: output channels, and the input channels that are summed over. */
  readonly outputAxis: number;
  readonly inputAxis: number;
  /** The axis that scales of single channels belong to, and the one that blocks are cut from. */
  readonly scaleAxis: number;
  readonly blockAxis: number;
  /** So many leading axes of the weight choose a matrix of its own. */
  readonly batchAxes: number;
  /** Axis 0 of a convolution's weight falls into so many parts, each with inputs and outputs of its own. */
  readonly groups: number;
  readonly alpha: number;
  readonly beta: number;
}

/** The weights of a node, or why it has none. Needs the weight's dims or shape. */
export type LinearRule = (node: Node) => readonly LinearView[] | { readonly because: string };

export interface AxisOf {
  readonly value: Value;
  readonly axis: number;
}

/** Channel c of axis `b` is channel (c + offset) / repeat, rounded down, of axis `a`. */
export interface Tie {
  readonly a: AxisOf;
  readonly b: AxisOf;
  readonly offset?: number;
  readonly repeat?: number;
  /** In place of offset and repeat: channel c of axis `b` is channel map[c] of axis `a`. */
  readonly map?: readonly number[];
  /**
   * Ties of one node with the same axis `b` that name a way are several ways to cut it, of which one can be taken: the
   * heads of [heads, size], or the same places of all heads. The first is the one that is usually meant.
   */
  readonly way?: number;
  /** Whether f(s·x) = s·f(x) along the axis for factors s > 0: scaling passes through. */
  readonly homogeneous: boolean;
}

/**
 * The axes of a node's inputs and outputs that hold the same channels in the same order: without one of them, the
 * others give what they gave. Needs inferred shapes; says nothing where they lack. An axis that no tie and no weight
 * speaks of must stay as it is.
 */
export type LinkRule = (node: Node) => readonly Tie[];

/** Channel of axis `a` that channel c of axis `b` is; below 0 or beyond the axis where it is none of them. */
export const tiedTo = ({ map, offset = 0, repeat = 1 }: Tie, c: number): number =>
  map ? (map[c] ?? -1) : Math.floor((c + offset) / repeat);

/** Indices of an axis that are taken out of a tensor. */
export type Lost = (value: Value | null | undefined, axis: number) => ReadonlySet<number>;

/** What a refit changes with: the graph is the caller's. */
export interface RefitHands {
  /** Opset of the standard domain. */
  readonly opset: number;
  /** Gives an input other integers, of the type that it has. */
  setInts(input: number, values: readonly number[]): void;
  /** Gives single elements of an integer input other values, where {@link knownInt} knows them. */
  setElements(input: number, values: ReadonlyMap<number, number>): void;
}

/** What a node says of sizes in numbers: attributes and constants that must follow when channels go. */
export interface Refit {
  /** Whether they can follow, before any is changed, where this axis of an input or of the result loses channels. */
  can(node: Node, place: AxisOf): boolean;
  /** Makes them follow; shapes are those from before. */
  apply(node: Node, lost: Lost, hands: RefitHands): void;
}

/** Links of an operator that says sizes in numbers, or that takes channels out in other ways than it scales them. */
export interface LinkFacet {
  /** As {@link LinkRule}; 'opaque' where nothing is known for scaling. */
  readonly rule: LinkRule | 'opaque';
  /** Ties by which channels are taken out. Default: those of `rule`. */
  readonly removal?: LinkRule;
  readonly refit?: Refit;
}

/**
 * An attribute of a node that a rule builds; whether a number is a float or an int is known by the attribute's name.
 */
export type GradientAttr = number | string | readonly number[] | Tensor;

/** What a gradient rule builds with: nodes of the standard domain, in float32 or float64 as the node has it. */
export interface GradientContext {
  readonly node: Node;
  /** Opset version of the standard domain in which nodes are read and built: 18 or later. */
  readonly opset: number;
  /** The gradient of the loss by output i; undefined where the loss does not depend on it. */
  gradient(i: number): Value | undefined;
  /** Whether the gradient by input i leads to one that is wanted. A rule leaves others out. */
  need(i: number): boolean;
  /** Input i, which the operator must have. */
  input(i: number): Value;
  /** The sizes of a value. Throws GRADIENT_UNSUPPORTED where one is not known. */
  sizes(value: Value): readonly number[];
  /** The elements of an integer input that are known before the model runs. Throws GRADIENT_UNSUPPORTED else. */
  ints(i: number): readonly number[];
  /** Adds a node and gives its only output. */
  add(op: string, inputs: readonly (Value | null)[], attrs?: Readonly<Record<string, GradientAttr>>): Value;
  /** Adds a node and gives its outputs. */
  addAll(
    op: string,
    inputs: readonly (Value | null)[],
    outputs: number,
    attrs?: Readonly<Record<string, GradientAttr>>,
  ): readonly Value[];
  constant(data: Tensor): Value;
  /** Throws GRADIENT_UNSUPPORTED, naming the node: for a form of the operator that the rule does not cover. */
  refuse(why: string): never;
}
/** Gradients of the loss by each input; undefined where it has none or none is needed. */
export type GradientRule = (context: GradientContext) => readonly (Value | undefined)[];

/** A rule with what it asks of the walk. */
export interface GradientFacet {
  readonly rule: GradientRule;
  /** The rule reads so many outputs, of which the node may leave the last ones out: they are added to it. */
  readonly outputs?: number;
  /**
   * The operator steps, so that its gradient is zero; the rule is what a straight-through estimator takes for it, where
   * one is asked for.
   */
  readonly estimate?: true;
}
