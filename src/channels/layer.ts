/** A layer as a matrix product: rows are output channels, columns what one output sums over. */
import { dataOf } from '../ir/known.js';
import { item } from '../base/lists.js';
import type { DType } from '../ir/dtype.js';
import type { Node, Value } from '../ir/graph.js';
import type { LinearView } from '../ops/facets.js';
import { linearView, specOf } from '../ops/index.js';
import { isAddition } from '../ops/kinds.js';
import { layoutOf, paramAt } from '../scheme/layout.js';
import { clipRange } from '../scheme/params.js';
import type { QuantParams } from '../scheme/types.js';

/**
 * y[row] = Σ_column W[row, column]·x[column] + b[row]. A grouped convolution has `groups` such products, each of `rows`
 * rows. Element (group, row, column) of the weight lies at group·groupStride + row·rowStride + column·columnStride.
 */
export interface LayerShape {
  readonly node: Node;
  readonly view: LinearView;
  readonly input: Value;
  readonly weight: Value;
  /** What is added to the outputs: an input of the node, or the constant of a sum behind a product. */
  readonly bias: Value | undefined;
  /** Whether the bias is added by another node. */
  readonly biasApart: boolean;
  readonly groups: number;
  readonly rows: number;
  readonly columns: number;
  readonly groupStride: number;
  readonly rowStride: number;
  readonly columnStride: number;
}

/** Types of weights that are asked for. */
type Floats = readonly DType[];
const FLOAT32: Floats = ['float32'];

/** The shape of a layer with a constant weight that it alone uses; undefined for other nodes. */
export function layerShape(node: Node, dtypes = FLOAT32): LayerShape | undefined {
  const view = specOf(node)?.quant.role === 'compute' ? linearView(node) : undefined;
  const input = view && node.inputs[view.data];
  const weight = view && node.inputs[view.weight];
  if (!view || !input || !weight?.isInitializer || weight.uses.size !== 1 || weight.isGraphOutput) return undefined;
  const { dims, dtype } = dataOf(weight); // an initializer has data
  if (!dtypes.includes(dtype)) return undefined;
  const bias = view.bias === undefined ? undefined : node.inputs[view.bias];
  const own = bias?.isInitializer && bias.uses.size === 1 ? bias : undefined;
  const base = { node, view, input, weight, bias: own, biasApart: false };
  if (view.kind === 'window') {
    const groups = view.groups;
    const columns = dims.slice(1).reduce((n, d) => n * d, 1);
    const rows = dims[0]! / groups; // a convolution weight has at least two axes
    return { ...base, groups, rows, columns, groupStride: rows * columns, rowStride: columns, columnStride: 1 };
  }
  // Products of the last axis with one matrix.
  if (view.kind !== 'product' || dims.length !== 2 || view.alpha !== 1 || view.dataAxis !== -1) return undefined;
  const turned = view.outputAxis === 0;
  const [rows, columns] = [dims[view.outputAxis]!, dims[view.inputAxis]!]; // two axes, checked above
  const apart = view.bias === undefined ? biasBehind(node, rows, dtypes) : undefined;
  return {
    ...base,
    ...(apart ? { bias: apart, biasApart: true } : {}),
    groups: 1,
    rows,
    columns,
    groupStride: 0,
    rowStride: turned ? columns : 1,
    columnStride: turned ? 1 : rows,
  };
}

/** The constant vector that the only reader of a product adds to it. */
function biasBehind(node: Node, rows: number, dtypes: Floats): Value | undefined {
  const y = item(node.outputs, 0); // a product has an output
  const [use] = y.uses;
  if (y.uses.size !== 1 || y.isGraphOutput || !isAddition(use!.node) || use!.node.graph !== node.graph)
    return undefined;
  const b = use!.node.inputs[1 - use!.index]; // Add has two inputs
  return b?.isInitializer &&
    b.data &&
    dtypes.includes(b.data.dtype) &&
    b.data.dims.length === 1 &&
    b.data.size === rows &&
    b.uses.size === 1 &&
    !b.isGraphOutput
    ? b
    : undefined;
}

/** A constant embedding table as a layer without inputs; undefined for other nodes. */
export function tableShape(node: Node, dtypes = FLOAT32): LayerShape | undefined {
  const view = linearView(node);
  const [weight, input] = [view && node.inputs[view.weight], view && node.inputs[view.data]];
  if (
    view?.kind !== 'lookup' ||
    !input ||
    !weight?.isInitializer ||
    !weight.data ||
    !dtypes.includes(weight.data.dtype) ||
    weight.uses.size !== 1 ||
    weight.isGraphOutput
  )
    return undefined;
  const [rows, ...rest] = weight.data.dims;
  const columns = rest.reduce((n, d) => n * d, 1);
  return rows === undefined
    ? undefined
    : {
        node,
        view,
        input,
        weight,
        bias: undefined,
        biasApart: false,
        groups: 1,
        rows,
        columns,
        groupStride: 0,
        rowStride: columns,
        columnStride: 1,
      };
}

/** One group of a layer as a problem for a weight method: everything row-major [rows, columns]. */
export interface RowsProblem {
  readonly rows: number;
  readonly columns: number;
  /** What the codes should come near, in the metric of `hessian`. */
  readonly target: Float64Array;
  /** Σ x·xᵀ [columns, columns] over the calibration inputs, damped. The identity where there are none. */
  readonly hessian: Float64Array;
  readonly grid: Grid;
  /**
   * Columns in the order in which the kernel takes them, two by two: neighbours must not saturate. Undefined where they
   * may be anything.
   */
  readonly packed?: Int32Array | undefined;
  /**
   * 1 for each weight that is zero in the float model, as pruning makes them: its code means zero, whatever `target`
   * is. Undefined where none is.
   */
  readonly zeros?: Uint8Array | undefined;
  /** The Hessian as methods that go through columns want it, where it has been made already. */
  readonly ordered?: OrderedHessian | undefined;
}

/** A Hessian with its columns in order of their energy, and the L of LᵀL = H; both [columns, columns]. */
export interface OrderedHessian {
  readonly order: Int32Array;
  readonly h: Float64Array;
  readonly l: Float64Array;
}

/**
 * The levels that weights may take: (code − zeroPoint)·scale, with one scale and zero point for each element's part.
 */
export interface Grid {
  /** Which scale an element has. */
  readonly part: Int32Array;
  readonly scale: Float64Array;
  readonly zeroPoint: Int32Array;
  readonly low: number;
  readonly high: number;
  /** Zero points may not change. */
  readonly symmetric: boolean;
  /** Scales may be negative. */
  readonly signed?: boolean;
}

/** The rows of a layer that are solved together. */
export interface RowRange {
  readonly group: number;
  readonly first: number;
  readonly rows: number;
}

/** The grid of some rows of a layer, and the number of each of its parts among the weight's parameters. */
export function gridOf(
  shape: LayerShape,
  params: QuantParams,
  { group, first, rows }: RowRange,
): { grid: Grid; parts: Int32Array } {
  const { dims } = dataOf(shape.weight); // a layer's weight is constant
  const layout = layoutOf(dims, params.scheme.granularity);
  const own = new Int32Array(layout.count).fill(-1);
  const parts: number[] = [];
  const part = new Int32Array(rows * shape.columns);
  for (let r = first, i = 0; r < first + rows; r++) {
    for (let c = 0; c < shape.columns; c++, i++) {
      const p = paramAt(layout, group * shape.groupStride + r * shape.rowStride + c * shape.columnStride);
      if (own[p] === -1) {
        own[p] = parts.length;
        parts.push(p);
      }
      part[i] = own[p]!; // set just now
    }
  }
  const [low, high] = clipRange(params.scheme);
  return {
    parts: Int32Array.from(parts),
    grid: {
      part,
      scale: Float64Array.from(parts, (p) => params.scale[p]!),
      zeroPoint: Int32Array.from(parts, (p) => params.zeroPoint[p]!),
      low,
      high,
      symmetric: params.scheme.symmetric,
      signed: params.scheme.signedScale === true,
    },
  }; // parts are parameters
}

/** Weights of some rows, row-major. */
export function rowsOfLayer(
  shape: LayerShape,
  values: ArrayLike<number>,
  { group, first, rows }: RowRange,
): Float64Array {
  const out = new Float64Array(rows * shape.columns);
  for (let r = first, i = 0; r < first + rows; r++)
    for (let c = 0; c < shape.columns; c++)
      out[i++] = values[group * shape.groupStride + r * shape.rowStride + c * shape.columnStride]!;
  return out;
}
