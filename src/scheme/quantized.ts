/** What planning and calibration decide about a model: the one product that formats and exporters write. */
import type { Node, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import type { Coded } from './codings/types.js';
import type { Packing, QuantParams, QuantPlan, QuantPoint } from './types.js';

/** Operators beyond the standard that may be used for quantized weights. */
export interface WeightOnlyForm {
  readonly matMulNBits: boolean;
  readonly gatherBlockQuantized: boolean;
  /** Attribute accuracy_level of MatMulNBits; 0 is left out. */
  readonly accuracyLevel: number;
}

/** How kernels take the weight of each point, in every way in which integer nodes use it. */
export type Packings = ReadonlyMap<QuantPoint, readonly Packing[]>;

export interface Planned {
  readonly plan: QuantPlan;
  /** Nodes that run in integers. */
  readonly integerNodes: ReadonlySet<Node>;
  /** Nodes that compute in float from quantized weights. */
  readonly weightOnlyNodes: ReadonlySet<Node>;
  /** Relu and Clip that disappear into the output range of the node before them, by that node. */
  readonly fusedClamps: ReadonlyMap<Node, Node>;
  /** Why a node with multiply-accumulates or a place in the middle of a chain stays float. */
  readonly floatNodes: ReadonlyMap<Node, string>;
  /** Values of bodies that calibration looks at only to see whether the body runs. */
  readonly probes?: ReadonlySet<Value>;
  /** Concats that stay float where calibration finds that they mix scales. */
  readonly heads?: ReadonlySet<Node>;
  /** What calibration must see for that, too. */
  readonly spare?: QuantPlan;
  /** Weights of products that hold the same numbers as a table, transposed or not, with the table: stored once. */
  readonly tied?: ReadonlyMap<Value, Value>;
  /** Products whose inputs get a scale for each row while the model runs. */
  readonly rowWise?: ReadonlySet<Node>;
  /** How weight-only nodes are written, with that format. */
  readonly weightOnly?: WeightOnlyForm;
  /** Weights that must not saturate, and how kernels take them. */
  readonly packings?: Packings;
  /** Weights that keep to 7 bits, as kernels may take any two together, and what makes an output of theirs. */
  readonly narrowed?: ReadonlyMap<QuantPoint, Packing>;
  /**
   * Of float16: operands that are magnified as they go to zero, and the nodes that stay float32 where calibration sees
   * them near it.
   */
  readonly nearZero?: ReadonlyMap<Value, ReadonlySet<Node>>;
}

/** Extremes of a tensor over all samples, one for each channel. */
export interface Extremes {
  readonly count: number;
  readonly min: Float64Array;
  readonly max: Float64Array;
}

/**
 * A float model with everything that is decided about it: which values become codes, by which parameters, and which
 * nodes run how. Nobody changes it or the model: formats write a copy, exporters files.
 */
export interface QuantizedGraph {
  readonly model: Model;
  readonly planned: Planned;
  readonly params: ReadonlyMap<QuantPoint, QuantParams>;
  /** Codes of weights that a coding stores, where they were chosen otherwise than by it. */
  readonly coded?: ReadonlyMap<QuantPoint, Coded>;
  /** What is added to products with quantized weights, by weight. */
  readonly lowRank?: ReadonlyMap<QuantPoint, LowRankTerm>;
  /** What calibration saw, where the format is calibrated. */
  readonly stats?: ReadonlyMap<Value, Extremes>;
  /** Seed of stochastic rounding. */
  readonly seed: number;
}

/** A float model of which nothing is quantized. */
export const unquantized = (model: Model): QuantizedGraph => ({
  model,
  planned: {
    plan: new Map(),
    integerNodes: new Set(),
    weightOnlyNodes: new Set(),
    fusedClamps: new Map(),
    floatNodes: new Map(),
  },
  params: new Map(),
  seed: 0,
});

/** x·narrow·wide is added to a product x·Qᵀ: float32 [columns, rank] and [rank, rows]. */
export interface LowRankTerm {
  readonly rank: number;
  readonly rows: number;
  readonly columns: number;
  readonly narrow: Float32Array;
  readonly wide: Float32Array;
}

/** How a node runs, and why it does not run in integers. */
export type NodeVerdict =
  | { readonly runs: 'integer' }
  | { readonly runs: 'coded-weights' }
  | { readonly runs: 'float'; readonly because: string | undefined };
/** The verdict on a node of a graph. */
export function verdictOn({ planned }: Pick<QuantizedGraph, 'planned'>, node: Node): NodeVerdict {
  if (planned.integerNodes.has(node)) return { runs: 'integer' };
  if (planned.weightOnlyNodes.has(node)) return { runs: 'coded-weights' };
  return { runs: 'float', because: planned.floatNodes.get(node) };
}
