/**
 * What BatchNormalization says of the tensors that it gives (taken before it is folded away), and what follows for
 * those behind it.
 */
import type { Node, Value } from '../ir/graph.js';
import { allGraphs, type Model } from '../ir/model.js';
import { isBatchNormalization, isSum, keepsMeans } from '../ops/kinds.js';
import { scalingTies, specOf } from '../ops/index.js';

/** Mean and standard deviation of each channel of a tensor, as training left them in BatchNormalization. */
export interface ChannelMoments {
  readonly mean: Float64Array;
  readonly deviation: Float64Array;
}

/** By output name: mean β and standard deviation |γ| of each channel, as training saw them. Constants only. */
export function batchNormMoments(model: Model): Map<string, ChannelMoments> {
  const found = new Map<string, ChannelMoments>();
  for (const g of allGraphs(model.graph)) {
    for (const n of g.nodes) {
      const [gamma, beta] = [n.inputs[1]?.data, n.inputs[2]?.data];
      if (isBatchNormalization(n) && gamma && beta && n.outputs[0])
        found.set(n.outputs[0].name, { mean: beta.f64().slice(), deviation: gamma.f64().map(Math.abs) });
    }
  }
  return found;
}

/**
 * Moments along axis 1 of every value that follows from `moments`, taking channels for normal and independent: clamps
 * give those of a clipped normal, sums add means and variances. Needs inferred shapes.
 * source: Nagel et al. 2019, https://arxiv.org/abs/1906.04721, appendix C
 */
export function expectedMoments(
  model: Model,
  moments: ReadonlyMap<string, ChannelMoments>,
): Map<Value, ChannelMoments> {
  const found = new Map<Value, ChannelMoments>();
  for (const n of model.graph.topological()) {
    for (const y of n.outputs) {
      const own = moments.get(y.name) ?? derived(n, y, found);
      if (own && own.mean.length === y.shape?.[1]) found.set(y, own);
    }
  }
  return found;
}

function derived(n: Node, y: Value, known: ReadonlyMap<Value, ChannelMoments>): ChannelMoments | undefined {
  const role = specOf(n)?.quant;
  const x = n.inputs[0] ? known.get(n.inputs[0]) : undefined;
  if (role?.role === 'clamp') {
    const bounds = role.bounds(n);
    return x && bounds && clipped(x, bounds);
  }
  const channels = y.shape?.[1];
  if (typeof channels !== 'number') return undefined;
  const sum = isSum(n);
  if (!sum && !keepsMeans(n)) return undefined;
  const from = scalingTies(n).filter((t) => t.b.value === y && t.b.axis === 1);
  if (!from.length || (sum && from.length !== n.inputs.length)) return undefined;
  const mean = new Float64Array(channels);
  const square = new Float64Array(channels);
  for (const { a, offset = 0, repeat = 1 } of from) {
    const m = a.axis === 1 ? known.get(a.value) : undefined;
    if (!m) return undefined;
    for (let c = 0; c < channels; c++) {
      const at = Math.floor((c + offset) / repeat);
      if (at < 0 || at >= m.mean.length) continue; // added by Pad, or of another operand of Concat
      mean[c]! += m.mean[at]!;
      square[c]! += m.deviation[at]! ** 2; // as long as the means
    }
  }
  return { mean, deviation: square.map(Math.sqrt) };
}

/** Moments of normal channels after all below `low` became `low` and all above `high` became `high`. */
export function clipped({ mean, deviation }: ChannelMoments, [low, high]: readonly [number, number]): ChannelMoments {
  const made = { mean: mean.slice(), deviation: deviation.slice() };
  mean.forEach((m, c) => {
    const s = deviation[c]!; // as long as the means
    if (!(s > 0)) {
      made.mean[c] = Math.min(high, Math.max(low, m));
      return;
    }
    const [a, b] = [(low - m) / s, (high - m) / s];
    const [below, above] = [cumulative(a), 1 - cumulative(b)];
    const inside = 1 - below - above;
    const [da, db] = [density(a), density(b)];
    // the bounds may be infinite where nothing lies there
    const times = (x: number, y: number): number => (y === 0 ? 0 : x * y);
    const first = times(low, below) + times(high, above) + m * inside + s * (da - db);
    const second =
      times(low * low, below) +
      times(high * high, above) +
      (m * m + s * s) * inside +
      2 * m * s * (da - db) +
      s * s * (times(a, da) - times(b, db));
    made.mean[c] = first;
    made.deviation[c] = Math.sqrt(Math.max(0, second - first * first));
  });
  return made;
}

const density = (z: number): number => Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);
/** Share of a standard normal below z, within 1.5e-7. source: Abramowitz and Stegun 7.1.26 */
function cumulative(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  if (x > 6) return z > 0 ? 1 : 0;
  const t = 1 / (1 + 0.3275911 * x);
  const tail =
    0.5 *
    t *
    (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) *
    Math.exp(-x * x);
  return z > 0 ? 1 - tail : tail;
}
