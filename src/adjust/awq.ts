import { dataOf } from '../ir/known.js';
import { item, named } from '../base/lists.js';
import { z } from 'zod';
import { cloneModel } from '../ir/clone.js';
import type { Feed } from '../ir/feed.js';
import type { Node } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { dot } from '../codes/linear-kernels.js';
import { inTurn } from '../data/batch.js';
import { withFrontier } from '../codes/frontier.js';
import { layerShape, rowsOfLayer, type LayerShape } from '../channels/layer.js';
import { measureInputs, stepsOf, type InputSums } from '../codes/measure.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { Weights } from '../channels/scaling.js';
import { insertMul } from './smoothing/insert.js';
import { smoothUnits, type SmoothUnit } from './smoothing/units.js';
import type { AdjustContext, Adjustment } from './types.js';

const options = z.strictObject({
  bits: z.number().int().min(2).max(8).default(4).describe('Bits that the weights will have.'),
  block: z.number().int().positive().default(32).describe('Elements along the reduction axis that will share a scale.'),
  steps: z
    .number()
    .int()
    .positive()
    .default(20)
    .describe('Exponents between 0 (no scaling) and 1 that are tried for each group of channels.'),
  insert: z
    .boolean()
    .default(true)
    .describe(
      'Puts a Mul before products whose input no weight before can scale (behind GELU, or a sum that others ' +
        'read), where it saves a tenth of their error.',
    ),
  samples: z.number().int().positive().default(128).describe('Calibration samples to look at.'),
});
type Options = z.output<typeof options>;

/**
 * Activation-aware scaling: channels with large inputs get larger weights, and so a smaller relative rounding error,
 * and are made smaller where they come from. s = x^α with x the root mean square of the channel (the paper takes the
 * mean magnitude), divided by √(max·min); α is searched by the error of the layer's outputs, eᵀ(Σxxᵀ)e with e what
 * rounding to
 * `bits` in blocks does. Exact: what is divided goes into the weights before, else into a Mul.
 * source: Lin et al. 2023, https://arxiv.org/abs/2306.00978
 */
export const awq = {
  name: 'awq',
  doc:
    'Scales channels by the size of their inputs, as far as it lowers the error of rounded weights ' +
    '(activation-aware weight quantization, AWQ). Changes no result.',
  options,
  needsData: true,
  async run(context, o) {
    const { model } = context;
    const shapes = new Map<Node, LayerShape>();
    for (const n of model.graph.nodes) {
      const shape = layerShape(n);
      if (shape?.view.kind === 'product') shapes.set(n, shape);
    }
    const groups = groupsOf(smoothUnits(model), shapes).filter((g) => g.unit.sets !== undefined || o.insert);
    if (!groups.length) return 'no channels that products read can be scaled';
    const wanted = new Map([...shapes].filter(([n]) => groups.some((g) => g.readers.has(n))));
    const inputs = await measure(model, wanted, context, o.samples);
    const weights = new Weights();
    const b = new GraphBuilder(model);
    let [channels, layers, inserted] = [0, 0, 0];
    const exponents: number[] = [];
    for (const group of groups) {
      const { exponent, scale, saved } = bestScale(group, shapes, inputs, o);
      const { sets, factors } = group.unit;
      if (exponent === 0 || (!sets && saved < WORTH_A_MUL)) continue;
      exponents.push(exponent);
      if (sets)
        sets.forEach((set, i) => {
          weights.rescale(set, 1 / scale[i]!);
        }); // one for each set
      else {
        insertMul(b, group.unit, scale, weights, 'awq');
        inserted++;
      }
      channels += factors;
      layers += group.readers.size;
    }
    if (!exponents.length) return 'no scaling errs less than none';
    weights.commit();
    return (
      `${channels} channels before ${layers} products${inserted ? `, ${inserted} Mul inserted` : ''} · exponents ` +
      `${Math.min(...exponents).toFixed(2)} to ${Math.max(...exponents).toFixed(2)}`
    );
  },
} satisfies Adjustment<Options>;

/** Channels that share factors, and the factor that each column of the products which read them has. */
interface Group {
  readonly unit: SmoothUnit;
  readonly readers: ReadonlyMap<Node, Int32Array>;
}

/** Units that products alone read. */
function groupsOf(units: readonly SmoothUnit[], shapes: ReadonlyMap<Node, LayerShape>): Group[] {
  return units.flatMap((unit) => {
    const readers = new Map(unit.inputs.flatMap(({ layers, factor }) => layers.map((n) => [n, factor] as const)));
    return [...readers].every(([n, factor]) => shapes.get(n)?.columns === factor.length) ? [{ unit, readers }] : [];
  });
}

async function measure(
  model: Model,
  shapes: ReadonlyMap<Node, LayerShape>,
  { batches, threads, onEvent, signal }: AdjustContext,
  samples: number,
): Promise<Map<Node, InputSums>> {
  const kept: Feed[] = [];
  let seen = 0;
  for await (const batch of batches()) {
    kept.push(...batch.feeds);
    seen += batch.samples.length;
    if (seen >= samples) break;
  }
  const reference = cloneModel(model);
  const found = new Map<Node, InputSums>();
  const steps = stepsOf(model.graph.topological(), shapes);
  await withFrontier(
    () => inTurn(kept),
    async (frontier) => {
      for (const [i, layers] of steps.entries()) {
        signal?.throwIfAborted();
        const sums = await measureInputs({
          model,
          reference,
          activations: new Map(),
          layers,
          frontier,
          samples: seen,
          cross: false,
          threads,
        });
        layers.forEach((l, k) => found.set(l.node, item(item(sums, k), 0))); // products have one group
        onEvent({ type: 'progress', stage: 'awq', done: i + 1, total: steps.length });
      }
    },
  );
  return found;
}

/** Multiply-accumulates that the search for one layer may take; rows beyond them are left out evenly. */
const BUDGET = 2e8;
/** A Mul costs time, so it must save at least this share of the squared error of its products. */
const WORTH_A_MUL = 0.1;

function bestScale(
  { unit: { factors }, readers }: Group,
  shapes: ReadonlyMap<Node, LayerShape>,
  inputs: ReadonlyMap<Node, InputSums>,
  { bits, block, steps }: Options,
): { exponent: number; scale: Float64Array; /** Share of the squared error. */ saved: number } {
  const energy = new Float64Array(factors);
  for (const [n, columns] of readers) {
    const { products, places } = named(inputs, n); // measured
    columns.forEach((set, c) => {
      if (set >= 0) energy[set] = Math.max(energy[set]!, products[c * (columns.length + 1)]! / places);
    });
  }
  const layers = [...readers].map(([n, columns]) => {
    const shape = named(shapes, n); // readers have a shape
    // a layer's weight is constant
    const all = rowsOfLayer(shape, dataOf(shape.weight).f32(), { group: 0, first: 0, rows: shape.rows });
    const step = Math.max(1, Math.ceil((shape.rows * columns.length ** 2 * steps) / BUDGET));
    return { columns, all, rows: shape.rows, step, products: named(inputs, n).products }; // measured
  });
  let best = { exponent: 0, scale: new Float64Array(factors).fill(1), error: Infinity };
  let plain = 0;
  for (let s = 0; s <= steps; s++) {
    const exponent = s / steps;
    const raw = energy.map((e) => (e > 0 ? Math.sqrt(e) ** exponent : 1));
    const middle = Math.sqrt(raw.reduce((a, b) => Math.max(a, b), 0) * raw.reduce((a, b) => Math.min(a, b), Infinity));
    const scale = raw.map((x) => x / middle);
    let error = 0;
    for (const l of layers) {
      const e = new Float64Array(l.columns.length);
      for (let r = 0; r < l.rows; r += l.step) {
        roundingErrors(l.all, r * e.length, l.columns, scale, bits, block, e);
        for (let c = 0; c < e.length; c++) error += l.step * e[c]! * dot(l.products, c * e.length, e, 0, e.length);
      }
    }
    if (s === 0) plain = error;
    if (error < best.error) best = { exponent, scale, error };
  }
  return { ...best, saved: plain > 0 ? 1 - best.error / plain : 0 };
}

/** What rounding one row of scaled weights to blocks with zero points does to the weights themselves. */
function roundingErrors(
  w: Float64Array,
  from: number,
  columns: Int32Array,
  scale: Float64Array,
  bits: number,
  block: number,
  error: Float64Array,
): void {
  const high = 2 ** bits - 1;
  const by = (c: number): number => {
    const set = columns[c]!;
    return set < 0 ? 1 : scale[set]!;
  }; // a column
  for (let start = 0; start < columns.length; start += block) {
    const end = Math.min(columns.length, start + block);
    let [min, max] = [0, 0];
    for (let c = start; c < end; c++) {
      const x = w[from + c]! * by(c);
      if (x < min) min = x;
      if (x > max) max = x;
    }
    const step = (max - min) / high || 1;
    const zero = Math.round(-min / step);
    for (let c = start; c < end; c++) {
      const s = by(c);
      const code = Math.min(high, Math.max(0, Math.round((w[from + c]! * s) / step) + zero));
      error[c] = ((code - zero) * step) / s - w[from + c]!;
    }
  }
}
