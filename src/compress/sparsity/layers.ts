/** The weights that may become sparse, as matrices of what outputs sum over. */
import { nameTest } from '../../base/match.js';
import { item } from '../../base/lists.js';
import { layerShape } from '../../channels/layer.js';
import type { Node, Value } from '../../ir/graph.js';
import { dataOf } from '../../ir/known.js';
import type { Model } from '../../ir/model.js';
import type { LinearView } from '../../ops/facets.js';
import { linearView } from '../../ops/index.js';
import { isBatchNormalization } from '../../ops/kinds.js';

/** A constant for each row: added to outputs, or the mean that BatchNormalization takes from them. */
export interface RowBias {
  readonly value: Value;
  readonly sign: 1 | -1;
}
export interface SparseLayer {
  /** Of its first node. */
  readonly name: string;
  readonly weight: Value;
  /** Every node that multiplies it; one, but for shared weights. */
  readonly uses: readonly { readonly node: Node; readonly view: LinearView; readonly input: Value }[];
  readonly groups: number;
  /** Of each group. */
  readonly rows: number;
  readonly columns: number;
  /** What moves all outputs of a row alike, and so makes up for the mean of an error. */
  readonly bias: RowBias | undefined;
}

/** Layers with constant weights, in the order of the model; tables only where a pattern names them. */
export function sparseLayers(
  model: Model,
  include?: readonly string[],
  exclude: readonly string[] = [],
): SparseLayer[] {
  const [wanted, left] = [include?.map(nameTest), exclude.map(nameTest)];
  const found = new Map<Value, SparseLayer>();
  const other = new Set<Value>();
  for (const node of model.graph.topological()) {
    const view = linearView(node);
    const [weight, input] = [view && node.inputs[view.weight], view && node.inputs[view.data]];
    if (!view || !input || !weight?.isInitializer || weight.isGraphOutput || weight.data?.dtype !== 'float32') continue;
    if (view.kind === 'cell' || view.kind === 'scale' || weight.data.size === 0) continue;
    const name = node.name || item(node.outputs, 0).name;
    const named = (test: (name: string) => boolean): boolean => test(name) || test(weight.name);
    const skipped = wanted ? !wanted.some(named) : view.kind === 'lookup';
    const size = sizesOf(view, weight.data.dims);
    const known = found.get(weight);
    const alike = !known || sameMatrix(item(known.uses, 0).view, view);
    if (skipped || left.some(named) || !size || !alike) {
      other.add(weight);
      continue;
    }
    const bias = known ? undefined : biasOf(node);
    const uses = [...(known?.uses ?? []), { node, view, input }];
    found.set(weight, { name: known?.name ?? name, weight, uses, ...size, bias });
  }
  // A weight that is also used otherwise belongs to what must stay.
  return [...found.values()].filter(
    ({ weight, uses }) => !other.has(weight) && [...weight.uses].every((u) => uses.some((own) => own.node === u.node)),
  );
}

function biasOf(node: Node): RowBias | undefined {
  const own = layerShape(node)?.bias;
  if (own) return { value: own, sign: 1 };
  const { uses, isGraphOutput } = item(node.outputs, 0);
  const [use] = uses;
  if (!use || uses.size > 1 || isGraphOutput || !layerShape(node) || !isBatchNormalization(use.node)) return undefined;
  const mean = use.node.inputs[MEAN];
  const free = mean?.isInitializer && mean.uses.size === 1 && !mean.isGraphOutput && mean.data?.dtype === 'float32';
  return free ? { value: mean, sign: -1 } : undefined;
}
/** Which input of BatchNormalization the mean is. */
const MEAN = 3;

function sameMatrix(a: LinearView, b: LinearView): boolean {
  return (['kind', 'outputAxis', 'inputAxis', 'batchAxes', 'groups'] as const).every((key) => a[key] === b[key]);
}

type Sizes = Pick<SparseLayer, 'groups' | 'rows' | 'columns'>;
const product = (list: readonly number[]): number => list.reduce((n, d) => n * d, 1);

function sizesOf(
  { kind, groups, batchAxes, inputAxis, outputAxis }: LinearView,
  dims: readonly number[],
): Sizes | undefined {
  const [first = 0, second = 0, ...rest] = dims;
  switch (kind) {
    case 'window':
      return { groups, rows: first / groups, columns: second * product(rest) };
    case 'transposed':
      return { groups, rows: second * product(rest), columns: first / groups };
    case 'lookup':
      return { groups: 1, rows: first, columns: second * product(rest) };
    default:
      return dims.length === batchAxes + 2
        ? { groups: product(dims.slice(0, batchAxes)), rows: item(dims, outputAxis), columns: item(dims, inputAxis) }
        : undefined;
  }
}

/**
 * Where each element of [groups · rows, columns] lies in the weight. Columns of a convolution go through the channels
 * at the first place of the window, then at the next: neighbours are neighbours along the input axis.
 */
export function placesOf({ weight, uses, groups, rows, columns }: SparseLayer): Int32Array {
  const { view } = item(uses, 0);
  const { dims } = dataOf(weight);
  const at = new Int32Array(groups * rows * columns);
  const column = columnsOfWindow(view, dims);
  const turned = view.kind === 'product' && view.outputAxis > view.inputAxis;
  for (let g = 0, i = 0; g < groups; g++)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++, i++) {
        const row = g * rows + r;
        if (column) at[i] = row * columns + item(column, c);
        else if (view.kind === 'transposed') at[i] = (g * columns + c) * rows + r;
        else at[i] = turned ? (g * columns + c) * rows + r : row * columns + c;
      }
  return at;
}

/** Of each column of a convolution its place in a row of the weight, [channels, …window]; undefined for others. */
export function columnsOfWindow({ kind }: LinearView, dims: readonly number[]): Int32Array | undefined {
  if (kind !== 'window') return undefined;
  const [, channels = 1, ...rest] = dims;
  const window = product(rest);
  return Int32Array.from({ length: channels * window }, (_, j) => (j % channels) * window + Math.floor(j / channels));
}
