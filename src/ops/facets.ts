/** What an operator's facets say: products with weights, channels that stay channels, and how gradients go back. */
import type { Attr, Node, Value } from '../ir/graph.js';

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
  /** Whether f(s·x) = s·f(x) along the axis for factors s > 0: scaling passes through. */
  readonly homogeneous: boolean;
}

/**
 * The axes of a node's inputs and outputs that hold the same channels in the same order: without one of them, the
 * others give what they gave. Needs inferred shapes; says nothing where they lack. An axis that no tie and no weight
 * speaks of must stay as it is.
 */
export type LinkRule = (node: Node) => readonly Tie[];

/** What a gradient rule builds with. */
export interface GradientContext {
  readonly node: Node;
  /** Opset version of the standard domain in which nodes are built. */
  readonly opset: number;
  /** The gradient of the loss by output i; undefined where nothing that is wanted depends on it. */
  gradient(i: number): Value | undefined;
  /** Adds a node of the standard domain and gives its only output. */
  add(op: string, inputs: readonly (Value | null)[], attrs?: Readonly<Record<string, Attr>>): Value;
}
/** Gradients of the loss by each input; undefined where it has none. */
export type GradientRule = (context: GradientContext) => readonly (Value | undefined)[];
