/** Layer after layer: codes are chosen for the inputs that the layers before, already quantized, really give. */
import { dataOf } from '../ir/known.js';
import { named } from '../base/lists.js';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import type { Feed } from '../ir/feed.js';
import type { Model, Node, Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import type { Planned } from '../scheme/quantized.js';
import { packedOrder } from '../ops/packing.js';
import type { Packing } from '../scheme/types.js';
import type { QuantParams, QuantPoint } from '../scheme/types.js';
import { factorReverse, solveReverse } from './linear.js';
import { dot, linearKernels } from './linear-kernels.js';
import { gridOf, layerShape, rowsOfLayer, tableShape, type LayerShape, type RowRange } from '../channels/layer.js';
import { Frontier } from './frontier.js';
import { measureInputs, stepsOf, type InputSums } from './measure.js';
import type { ChannelMoments } from '../channels/moments.js';
import { settled } from './pairs.js';
import type { Solved, WeightMethod } from './types.js';

export interface LayerwiseOptions {
  /** Planned; the data of its weights and biases are replaced by what the chosen codes mean. */
  readonly model: Model;
  /** A copy of the model from before, and its nodes by those of `model`. */
  readonly reference: { readonly model: Model; readonly nodes: ReadonlyMap<Node, Node> };
  readonly planned: Planned;
  /** How kernels take weights that must not saturate. */
  readonly packings?: ReadonlyMap<QuantPoint, readonly Packing[]> | undefined;
  /** Parameters of every point, from which weights start. */
  readonly params: ReadonlyMap<QuantPoint, QuantParams>;
  readonly method: WeightMethod;
  readonly methodOptions: unknown;
  /** Another method for single layers. */
  readonly methodOf?:
    ((node: Node) => { readonly method: WeightMethod; readonly options: unknown } | undefined) | undefined;
  /** Share of the mean input energy that is added to each, so that inputs that were never seen cannot be misused. */
  readonly damping: number;
  /** Whether layers are fitted to the outputs of the float model, not of the quantized layers before them. */
  readonly matchFloat: boolean;
  /** Whether there are calibration data for methods that can do without. */
  readonly hasInputs: boolean;
  readonly correctBias: boolean;
  readonly correctScale: boolean;
  /**
   * By value, the mean of each channel along axis 1, where biases are to be corrected by it; where inputs are measured,
   * by those.
   */
  readonly expected?: ReadonlyMap<Value, ChannelMoments> | undefined;
  readonly feeds: () => AsyncIterable<Feed>;
  /** About how many samples and feeds there are. */
  readonly samples: number;
  readonly totalFeeds?: number | undefined;
  readonly threads: number;
  readonly report: (d: Diagnostic) => void;
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
}
export interface Layerwise {
  /** New parameters of weights. */ readonly params: ReadonlyMap<QuantPoint, QuantParams>;
  readonly layers: number;
  readonly biases: number;
}

/** Chooses the codes of every planned weight, in the order of the model. Throws what running the model throws. */
export async function quantizeLayerwise(o: LayerwiseOptions): Promise<Layerwise> {
  const order = o.model.graph.topological();
  const shapes = new Map<Node, LayerShape>();
  for (const n of order) {
    const shape = o.planned.integerNodes.has(n) || o.planned.weightOnlyNodes.has(n) ? layerShape(n) : undefined;
    if (shape && o.params.has(shape.weight)) shapes.set(n, shape);
  }
  const activations = new Map([...o.params].filter(([p, q]) => 'uses' in p && !p.data && q.scheme.dtype !== 'int32'));
  const needsInputs =
    o.correctBias ||
    o.correctScale ||
    [...shapes.keys()].some((n) => {
      const { inputs } = methodFor(o, n).method;
      return inputs === 'required' || (inputs === 'optional' && o.hasInputs);
    });
  const chosen = new Map<QuantPoint, QuantParams>();
  let biases = 0;
  const steps = stepsOf(order, shapes);
  const frontier = new Frontier(o.feeds);
  let [batches, layers] = [0, 0];
  const quantizeOne = (shape: LayerShape, sums?: readonly InputSums[]): void => {
    // only layers with parameters are asked for
    const made = quantizeLayer(o, shape, named(o.params, shape.weight), sums);
    chosen.set(shape.weight, made.params);
    shape.weight.data = Tensor.f32(made.weights, dataOf(shape.weight).dims); // a layer's weight is constant
    if (made.bias && shape.bias) {
      shape.bias.data = Tensor.f32(made.bias, dataOf(shape.bias).dims);
      biases++;
    } // layerShape takes constant biases only
  };
  // Tables first: what products see comes from them.
  const tables = order
    .filter((n) => o.planned.weightOnlyNodes.has(n))
    .flatMap((n) => tableShape(n) ?? [])
    .filter((t) => o.params.has(t.weight));
  for (const table of tables) {
    await nextTurn();
    o.signal?.throwIfAborted();
    quantizeOne(table);
  }
  const pace = new Pace(steps);
  for (const [i, step] of steps.entries()) {
    await nextTurn(); // solving blocks the thread: signals and drawing get their turn here
    o.signal?.throwIfAborted();
    const all = step.length === 1 ? `layer ${layers + 1}` : `layers ${layers + 1} to ${layers + step.length}`;
    const total = o.totalFeeds === undefined ? undefined : o.totalFeeds * steps.length;
    const sums = needsInputs
      ? await measureInputs({
          model: o.model,
          reference: o.reference,
          activations,
          layers: step,
          frontier,
          samples: o.samples,
          cross: o.matchFloat,
          threads: o.threads,
          onBatch: () => {
            batches++;
            o.signal?.throwIfAborted();
            o.onEvent?.({
              type: 'progress',
              stage: 'weights',
              done: batches,
              total,
              note: `${all} of ${shapes.size}`,
              secondsLeft: pace.left(i),
            });
          },
        })
      : undefined;
    pace.measured();
    step.forEach((shape, k) => quantizeOne(shape, sums?.[k]));
    pace.solved();
    layers += step.length;
    if (!sums) o.onEvent?.({ type: 'progress', stage: 'weights', done: layers, total: shapes.size });
  }
  return { params: chosen, layers: shapes.size + tables.length, biases };
}

/**
 * How long the rest takes: passes over the data are alike, and solving a layer takes its rows times its columns
 * squared.
 */
class Pace {
  readonly #works: readonly number[];
  #from = performance.now();
  #passes = 0;
  #solving = 0;
  constructor(steps: readonly (readonly LayerShape[])[]) {
    this.#works = steps.map((step) => step.reduce((sum, l) => sum + l.groups * l.rows * l.columns ** 2, 0));
  }
  measured(): void {
    this.#passes += this.#lap();
  }
  solved(): void {
    this.#solving += this.#lap();
  }
  /** Seconds, while a step is measured; unknown during the first. */
  left(step: number): number | undefined {
    if (step === 0) return undefined;
    const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
    const ms =
      (this.#passes / step) * (this.#works.length - step) +
      (this.#solving / sum(this.#works.slice(0, step))) * sum(this.#works.slice(step));
    return Math.max(0, ms - (performance.now() - this.#from)) / 1000;
  }
  #lap(): number {
    const now = performance.now();
    const ms = now - this.#from;
    this.#from = now;
    return ms;
  }
}

const methodFor = (o: LayerwiseOptions, node: Node): { readonly method: WeightMethod; readonly options: unknown } =>
  o.methodOf?.(node) ?? { method: o.method, options: o.methodOptions };

interface Made {
  readonly params: QuantParams;
  readonly weights: Float32Array;
  readonly bias: Float32Array | undefined;
}

function quantizeLayer(
  o: LayerwiseOptions,
  shape: LayerShape,
  start: QuantParams,
  sums: readonly InputSums[] | undefined,
): Made {
  const original = dataOf(shape.weight).f32(); // a layer's weight is constant
  const weights = original.slice();
  const scale = start.scale.slice();
  const zeroPoint = start.zeroPoint.slice();
  const oldBias = shape.bias?.data?.f64();
  const bias = oldBias?.slice();
  const expected =
    sums || (shape.view.kind !== 'window' && shape.input.shape?.length !== 2)
      ? undefined
      : o.expected?.get(shape.input)?.mean; // moments are along axis 1
  // layers have weights of their own, so that there is one way to take them
  const packing = o.packings?.get(shape.weight)?.[0];
  const packed = packing && packedOrder(packing).map((offset) => offset / shape.columnStride);
  for (const range of rangesOf(shape, start)) {
    const { group: g, first, rows } = range;
    const { grid, parts } = gridOf(shape, start, range);
    const float = rowsOfLayer(shape, original, range);
    const input = sums?.[g];
    const hessian = hessianOf(shape.columns, input, o.damping);
    const target = input && o.matchFloat ? fitted(float, shape, hessian, input) : float;
    const { method, options } = methodFor(o, shape.node);
    const problem = { rows, columns: shape.columns, target, hessian, grid, packed };
    const solved = settled(problem, method.solve(problem, options));
    const factors =
      input && o.correctScale && ownScales(grid.part, grid.scale.length, shape.columns)
        ? factorsOf(shape, solved, grid.part, input)
        : undefined;
    parts.forEach((p, i) => {
      scale[p] = solved.scale[i]!;
      zeroPoint[p] = solved.zeroPoint[i]!;
    }); // one for each part
    if (factors)
      grid.part.forEach((part, at) => {
        scale[parts[part]!] = solved.scale[part]! * factors[Math.floor(at / shape.columns)]!;
      });
    for (let r = first, at = 0; r < first + rows; r++) {
      let given = 0;
      for (let c = 0; c < shape.columns; c++, at++) {
        const p = parts[grid.part[at]!]!; // every element has a part
        // as dequantize() does: p is a parameter
        const value = Math.fround(solved.codes[at]! - zeroPoint[p]!) * scale[p]!;
        weights[g * shape.groupStride + r * shape.rowStride + c * shape.columnStride] = value;
        if (input) given += value * input.sums[c]!;
        // one for each column, one for each channel
        if (expected && bias) bias[g * shape.rows + r]! -= (value - float[at]!) * expected[channelOf(shape, g, c)]!;
      }
      if (bias && input && o.correctBias)
        bias[g * shape.rows + r] =
          (shape.biasApart ? bias[r]! : 0) + input.output[r]! / input.outputs - given / input.places;
    }
  }
  const corrected =
    (o.correctBias || expected) && bias && bias.length === shape.groups * shape.rows
      ? Float32Array.from(bias)
      : undefined;
  const { codes: _codes, ...rest } = start; // these were of the float weights
  return { params: { ...rest, scale, zeroPoint }, weights, bias: corrected };
}

/** The channel of the layer's input that a column of a group reads. */
function channelOf({ view, weight, columns }: LayerShape, group: number, column: number): number {
  if (view.kind !== 'window') return column;
  const channels = dataOf(weight).dims[1]!; // a convolution's weight is constant, of at least two axes
  return group * channels + Math.floor(column / (columns / channels));
}

/** Rows of a table that are solved at a time: memory stays flat. */
const TABLE_ROWS = 2048;
/**
 * What is solved together: the rows of a group; of a table, whose rows have nothing in common but a scale of the whole,
 * fewer.
 */
function rangesOf({ view, groups, rows }: LayerShape, { scheme }: QuantParams): RowRange[] {
  if (view.kind !== 'lookup' || scheme.granularity.kind === 'tensor')
    return Array.from({ length: groups }, (_, group) => ({ group, first: 0, rows }));
  return Array.from({ length: Math.ceil(rows / TABLE_ROWS) }, (_, i) => ({
    group: 0,
    first: i * TABLE_ROWS,
    rows: Math.min(TABLE_ROWS, rows - i * TABLE_ROWS),
  }));
}

/** Σ x̂x̂ᵀ with a little added to the diagonal; the identity without inputs. */
function hessianOf(k: number, input: InputSums | undefined, damping: number): Float64Array {
  const h = input ? input.products.slice() : new Float64Array(k * k);
  let trace = 0;
  for (let i = 0; i < k; i++) trace += h[i * k + i]!;
  const more = trace > 0 ? (damping * trace) / k : 1;
  for (let i = 0; i < k; i++) h[i * k + i]! += more;
  return h;
}

/**
 * The float weights that, on the inputs of the quantized model, give what the float model gives on its own:
 * (W·Σxx̂ᵀ + λW)·(Σx̂x̂ᵀ + λ)⁻¹. source: asymmetric calibration, GPTAQ, https://arxiv.org/abs/2504.02692
 */
function fitted(
  float: Float64Array,
  { rows, columns: k }: LayerShape,
  hessian: Float64Array,
  input: InputSums,
): Float64Array {
  const kernels = linearKernels();
  const [l, cross, own, right, room] = kernels.arrays(k * k, k * k, ROWS * k, ROWS * k, ROWS * ROWS) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ]; // as many as asked for
  const more = hessian[0]! - input.products[0]!; // what damping added
  const made = new Float64Array(rows * k);
  l.set(hessian);
  factorReverse(l, k, room, kernels);
  cross.set(input.cross);
  for (let first = 0; first < rows; first += ROWS) {
    // some rows together: each line of the sums is fetched once for all of them
    const count = Math.min(ROWS, rows - first);
    own.set(float.subarray(first * k, (first + count) * k));
    for (let c = 0; c < k; c++) {
      kernels.dots(cross, c * k, own, 0, k, count, k, room, 0); // cross[c][j] = Σ x̂_c·x_j
      for (let r = 0; r < count; r++) right[r * k + c] = more * own[r * k + c]! + room[r]!;
    }
    solveReverse(l, k, right, count, room, kernels);
    made.set(right.subarray(0, count * k), first * k);
  }
  return made;
}
const ROWS = 16;

/** Whether every scale belongs to one row. */
function ownScales(part: Int32Array, parts: number, columns: number): boolean {
  const owner = new Int32Array(parts).fill(-1);
  for (let at = 0; at < part.length; at++) {
    const row = Math.floor(at / columns);
    if (owner[part[at]!] === -1) owner[part[at]!] = row;
    else if (owner[part[at]!] !== row) return false; // every element has a part
  }
  return true;
}

/**
 * For each row, what makes its output vary as much as in the float model: BatchNormalization statistics measured again.
 */
function factorsOf({ rows, columns: k }: LayerShape, solved: Solved, part: Int32Array, input: InputSums): Float64Array {
  const made = Float64Array.from(
    solved.codes,
    (q, at) => (q - solved.zeroPoint[part[at]!]!) * solved.scale[part[at]!]!,
  ); // every element has a part
  return Float64Array.from({ length: rows }, (_, r) => {
    // one for each row
    const before = input.outputSquares[r]! / input.outputs - (input.output[r]! / input.outputs) ** 2;
    let square = 0;
    for (let c = 0; c < k; c++)
      if (made[r * k + c]) square += made[r * k + c]! * dot(input.products, c * k, made, r * k, k);
    const after = square / input.places - (dot(input.sums, 0, made, r * k, k) / input.places) ** 2;
    return after > 0 && before > 0 ? Math.min(2, Math.max(0.5, Math.sqrt(before / after))) : 1;
  });
}
