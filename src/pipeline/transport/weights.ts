/** Weights that may take other values so that the file compresses better: what each costs at a price of bits. */
import { byName, filled, item } from '../../base/lists.js';
import type { LayerShape } from '../../channels/layer.js';
import { cheapCodes, type CheapCodes } from '../../codes/cheap-codes.js';
import { cheapLevels } from '../../codes/cheap-levels.js';
import { importanceOf, type InputEnergies } from '../../codes/energies.js';
import type { Value } from '../../ir/graph.js';
import { dataOf } from '../../ir/known.js';
import { Tensor } from '../../ir/tensor.js';
import { createRng } from '../../base/rng.js';
import { gridOf, withGrid } from '../../scheme/codings/chosen.js';
import { codings } from '../../scheme/codings/index.js';
import { decode, matrixOf, rowMajor } from '../../scheme/codings/matrix.js';
import type { Coded, Coding } from '../../scheme/codings/types.js';
import { layoutOf, paramAt } from '../../scheme/layout.js';
import { clipRange } from '../../scheme/params.js';
import type { QuantParams, QuantPoint, QuantSpec } from '../../scheme/types.js';
import { withWeightParams } from '../../quantize/assign.js';
import { correctBias } from '../encode.js';
import type { TrainedVariant } from '../variant/types.js';

/** What was found for a weight. */
export interface Cheaper {
  /** Σ importance · error² ÷ Σ importance · weight². */
  readonly error: number;
  readonly bits: number;
  /** What it means, in float32, laid out as the weight. */
  readonly values: () => ArrayLike<number>;
  readonly params?: QuantParams;
  readonly coded?: Coded;
}
/** A weight, and what it is at a price of a bit in shares of the energy of its layer's outputs. */
export interface Cheapened {
  readonly point: QuantPoint;
  readonly weight: Value;
  readonly elements: number;
  at(price: number): Cheaper;
}

export interface Seen {
  readonly layers: ReadonlyMap<Value, LayerShape>;
  readonly energies: ReadonlyMap<Value, InputEnergies>;
}

const LEAST = 512;
const codingOf = (name: string): Coding<unknown> => byName(codings, name);

/** Float32 constants that are stored as codes, as a coding says, or in float. */
export function cheapenable(v: TrainedVariant, seen: Seen): Cheapened[] {
  const { plan } = v.prepared.planned;
  const found: Cheapened[] = [];
  const taken = new Set<Value>();
  const rng = createRng(v.recipe.recipe.quantize.seed, 'rounding');
  for (const [point, spec] of plan) {
    const weight = weightOf(point);
    if (!weight) continue;
    taken.add(weight);
    const params = v.assigned.params.get(point);
    const made =
      spec.kind === 'coded'
        ? sharedValues(weight, spec, v.coded?.get(point), importance(weight, seen), rng)
        : spec.kind === 'observed' && params && params.scheme.dtype !== 'int32'
          ? integers(weight, params, importance(weight, seen))
          : undefined;
    if (made && dataOf(weight).size >= LEAST) found.push({ point, weight, elements: dataOf(weight).size, at: made });
  }
  for (const weight of seen.layers.keys())
    if (!taken.has(weight) && dataOf(weight).size >= LEAST)
      found.push({
        point: weight,
        weight,
        elements: dataOf(weight).size,
        at: floats(weight, importance(weight, seen)),
      });
  return found;
}

/** The float32 constant of a point. */
export function weightOf(point: QuantPoint): Value | undefined {
  const value = 'uses' in point ? point : filled(point.node.inputs, point.index);
  return value.data?.dtype === 'float32' ? value : undefined;
}

/** In shares of the energy of the layer's outputs: Σ importance · weight² is 1. */
function importance(weight: Value, { layers, energies }: Seen): Float32Array {
  const values = dataOf(weight).f32();
  const [layer, own] = [layers.get(weight), energies.get(weight)];
  const found = layer && own ? importanceOf(layer, own) : new Float32Array(values.length).fill(1);
  const least = found.reduce((n, x) => n + x, 0) / Math.max(1, found.length) / 100; // inputs that samples do not show
  let energy = 0;
  for (let i = 0; i < found.length; i++) {
    found[i] = Math.max(item(found, i), least);
    const x = item(values, i);
    if (Number.isFinite(x)) energy += item(found, i) * x * x;
  }
  return energy > 0 ? found.map((x) => x / energy) : found.fill(0);
}

type At = Cheapened['at'];

function integers(weight: Value, params: QuantParams, importance: Float32Array): At {
  const data = dataOf(weight);
  const layout = layoutOf(data.dims, params.scheme.granularity);
  const part = Int32Array.from({ length: data.size }, (_, i) => paramAt(layout, i));
  const [low, high] = clipRange(params.scheme);
  const { scale, zeroPoint, scheme } = params;
  return (price) => {
    const about = { target: data.f32(), importance, part, scale, zeroPoint, low, high, scales: true };
    const found = cheapCodes(about, price);
    const codes = Tensor.codes(scheme.dtype, found.codes, data.dims);
    return {
      ...{ error: found.error, bits: found.bits, values: () => valuesOf(found, part) },
      params: { ...params, scale: found.scale, zeroPoint: found.zeroPoint, codes },
    };
  };
}
const valuesOf = ({ codes, scale, zeroPoint }: CheapCodes, part: Int32Array): Float32Array =>
  Float32Array.from(codes, (q, i) => (q - item(zeroPoint, item(part, i))) * item(scale, item(part, i)));

function sharedValues(
  weight: Value,
  spec: QuantSpec & { kind: 'coded' },
  chosen: Coded | undefined,
  importance: Float32Array,
  rng: ReturnType<typeof createRng>,
): At | undefined {
  const data = dataOf(weight);
  const matrix = matrixOf(data.f32(), data.dims, spec.axis);
  const coding = codingOf(spec.coding);
  const coded = chosen ?? coding.encode(matrix, spec.options, rng);
  const grid = gridOf(coded, matrix);
  if (!grid) return undefined; // numbers of a float type
  const values = rowMajor(matrix, grid.size);
  const weights = rowMajor(matrixOf(importance, data.dims, spec.axis), grid.size);
  const free = coded.levels !== undefined && coding.learns?.(spec.options) === 'levels';
  return (price) => {
    const found = cheapLevels(values, weights, grid, price, free);
    const made = withGrid(coded, found.grid);
    return { error: found.error, bits: found.bits, values: () => decode(made, matrix), coded: made };
  };
}

/** Multiples of a power of two: their lowest bits are zero, and they are exact in narrower float types too. */
function floats(weight: Value, importance: Float32Array): At {
  const data = dataOf(weight);
  const values = data.f32();
  const largest = values.reduce((n, x) => (Number.isFinite(x) ? Math.max(n, Math.abs(x)) : n), 0);
  const part = new Int32Array(values.length);
  const mean = importance.reduce((n, x) => n + x, 0) / Math.max(1, importance.length);
  return (price) => {
    const step = 2 ** Math.floor(Math.log2(Math.sqrt((6 * price) / (Math.LN2 * mean))));
    const high = Math.ceil(largest / step) + 1;
    // Finer steps than those of half precision would save little.
    if (!(high < 2 ** 15)) return { error: 0, bits: 32 * values.length, values: () => values };
    const about = { target: values, importance, part, scale: [step], zeroPoint: [0], low: -high, high, scales: false };
    const found = cheapCodes(about, price);
    return {
      ...{ error: found.error, bits: found.bits },
      values: () => Float32Array.from(found.codes, (q, i) => (Number.isFinite(values[i]) ? q * step : item(values, i))),
    };
  };
}

/**
 * The variant with what was chosen for its weights. Those that stay float, and biases that take on
 * what the outputs lose
 * on average, change in the model, in place; `restore` takes that back.
 */
export function withCheaper<V extends TrainedVariant>(
  v: V,
  chosen: ReadonlyMap<Cheapened, Cheaper>,
  { layers, energies }: Seen,
): { readonly made: V; readonly restore: () => void } {
  const params = new Map<QuantPoint, QuantParams>();
  const coded = new Map<QuantPoint, Coded>(v.coded);
  const before = new Map<Value, Tensor>();
  for (const [{ point, weight, at }, c] of chosen) {
    const [layer, seen] = [layers.get(weight), energies.get(weight)];
    const { bias } = layer ?? {};
    if (layer && seen && bias) {
      if (!before.has(bias)) before.set(bias, dataOf(bias));
      correctBias(layer, seen, c.values(), at(0).values());
    }
    if (c.params) params.set(point, c.params);
    else if (c.coded) coded.set(point, c.coded);
    else {
      before.set(weight, dataOf(weight));
      weight.data = Tensor.f32(Float32Array.from(c.values()), dataOf(weight).dims);
    }
  }
  const assigned = withWeightParams(v.prepared.planned, v.assigned, params);
  const restore = (): void => {
    for (const [value, data] of before) value.data = data;
  };
  return { made: { ...v, assigned, ...(coded.size ? { coded } : {}) }, restore };
}
