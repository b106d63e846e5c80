/** Channels that are alike: those of the same tensors, of which any may go while the others stay. */
import type { Value } from '../ir/graph.js';
import { dataOf } from '../ir/known.js';
import { joins } from '../ops/kinds.js';
import type { ChannelUnit } from './removal.js';

/** Units whose channels lie in the same tensors, along the same axes. */
export interface Family {
  readonly units: readonly ChannelUnit[];
  /** Weights that make its channels. More than one where a sum, a product, a border or heads tie what they make. */
  readonly makers: readonly Value[];
  /** Whether a sum of tensors holds its channels, as the stream of a residual network does. */
  readonly summed: boolean;
}

/** The families of units, in the order in which their first channels are found. */
export function familiesOf(units: readonly ChannelUnit[]): Family[] {
  const numbers = new Map<Value, number>();
  const found = new Map<string, ChannelUnit[]>();
  for (const unit of units) {
    const keys = unit.places.map(({ value, axis }) => {
      const number = numbers.get(value) ?? numbers.size;
      numbers.set(value, number);
      return `${number}:${axis}`;
    });
    const key = [...new Set(keys)].sort().join();
    const known = found.get(key);
    if (known) known.push(unit);
    else found.set(key, [unit]);
  }
  return [...found.values()].map((own) => ({
    units: own,
    makers: [...new Set(own.flatMap((u) => u.cuts.flatMap((c) => (c.makes ? [c.constant] : []))))],
    summed: isSummed(own),
  }));
}

function isSummed(units: readonly ChannelUnit[]): boolean {
  const held = new Set(units.flatMap((u) => u.places.map((p) => p.value)));
  return [...held].some(({ producer }) => {
    if (!producer || joins(producer) !== 'added') return false;
    return producer.inputs.filter((x) => x && !x.isInitializer && held.has(x)).length > 1;
  });
}

/** The elements of a constant at one index of an axis: `outer` runs of `inner` neighbours, `stride` apart. */
export interface Line {
  readonly outer: number;
  readonly inner: number;
  readonly stride: number;
  readonly start: number;
}
export function lineOf(constant: Value, axis: number, index: number): Line {
  const { dims } = dataOf(constant);
  const inner = dims.slice(axis + 1).reduce((n, d) => n * d, 1);
  const outer = dims.slice(0, axis).reduce((n, d) => n * d, 1);
  const stride = (dims[axis] ?? 1) * inner;
  return { outer, inner, stride, start: index * inner };
}
/** Σ f over the elements of a line. */
export function sumAlong({ outer, inner, stride, start }: Line, data: Float64Array, f: (x: number) => number): number {
  let sum = 0;
  for (let o = 0, at = start; o < outer; o++, at += stride)
    for (let i = at; i < at + inner; i++) sum += f(data[i] ?? 0);
  return sum;
}
