import { z } from 'zod';
import { bytesText } from '../base/text.js';
import { item } from '../base/lists.js';
import type { Value } from '../ir/graph.js';
import { dataOf } from '../ir/known.js';
import { Tensor } from '../ir/tensor.js';
import { linearViews } from '../ops/index.js';
import { permuteTensor } from '../ops/permutation.js';
import { GraphBuilder } from '../rewrite/builder.js';
import type { Compression } from './types.js';

const options = z.strictObject({
  tolerance: z
    .number()
    .min(0)
    .lt(1)
    .default(0)
    .describe(
      'Largest distance of two tensors, ÷ the norm of the larger, at which they become one, which is their mean. 0 ' +
        'ties equal ones.',
    ),
  least: z.number().int().positive().default(512).describe('Tensors of fewer elements stay.'),
});
type Options = z.output<typeof options>;

interface Tied {
  readonly value: Value;
  readonly others: { readonly value: Value; readonly turned: boolean }[];
}

/**
 * Float32 constants of equal dims that are equal, or as near to the first of them as is allowed, become one; matrices
 * also where one is the other turned around, as an embedding table and the product that gives scores of its rows: a
 * Transpose, which runtimes compute once, then makes one of the other.
 */
export const tie = {
  name: 'tie',
  doc:
    'Stores tensors once that are equal, or nearly so, as they are or transposed. Training moves tied tensors ' +
    'together. Formats with integers give layers weights of their own again.',
  options,
  async run({ model }, { tolerance, least }) {
    await Promise.resolve();
    const { graph } = model;
    const firsts: Tied[] = [];
    let bytes = 0;
    for (const v of [...graph.initializers].sort((a, b) => Number(isMatrix(a)) - Number(isMatrix(b)))) {
      if (v.data?.dtype !== 'float32' || v.data.size < least || v.isGraphOutput || graph.isInput(v)) continue;
      const own = dataOf(v);
      const near = (t: Tensor): Tied | undefined => firsts.find((f) => areNear(dataOf(f.value), t, tolerance));
      const dims = own.dims.toReversed().join();
      const mayTurn = own.dims.length === 2 && firsts.some((f) => dataOf(f.value).dims.join() === dims);
      const same = near(own);
      const found = same ?? (mayTurn ? near(turnedOf(own)) : undefined);
      if (!found) {
        firsts.push({ value: v, others: [] });
        continue;
      }
      found.others.push({ value: v, turned: !same });
      bytes += own.byteLength;
    }
    for (const { value, others } of firsts) {
      if (!others.length) continue;
      const all = others.map((o) => (o.turned ? turnedOf(dataOf(o.value)) : dataOf(o.value)));
      value.data = meanOf([dataOf(value), ...all]);
      let back: Value | undefined;
      for (const o of others) {
        graph.initializers.delete(o.value);
        if (o.turned) back ??= new GraphBuilder(model).op('Transpose', [value], TURNED(o.value.name));
        graph.replaceUses(o.value, o.turned && back ? back : value);
      }
    }
    return `${firsts.reduce((n, f) => n + f.others.length, 0)} tensors tied to others · ${bytesText(bytes)} less`;
  },
} satisfies Compression<Options>;

const TURNED = (name: string) => ({ attrs: { perm: [1, 0] }, name });
/** Whether layers alone read it as their matrix: these can read what is computed; tables and others are stored. */
const isMatrix = (v: Value): boolean =>
  [...v.uses].every(({ node, index }) => linearViews(node).some((l) => l.weight === index && l.kind === 'product'));
const turnedOf = (t: Tensor): Tensor => permuteTensor(t, [1, 0]);

function areNear(a: Tensor, b: Tensor, tolerance: number): boolean {
  if (a.dims.join() !== b.dims.join()) return false;
  if (tolerance === 0) return Buffer.compare(a.bytes(), b.bytes()) === 0;
  const [x, y] = [a.f32(), b.f32()];
  let [off, one, two] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const [v, w] = [item(x, i), item(y, i)];
    off += (v - w) ** 2;
    one += v * v;
    two += w * w;
  }
  return Math.sqrt(off) <= tolerance * Math.sqrt(Math.max(one, two)); // false where something is not finite
}

function meanOf(all: readonly Tensor[]): Tensor {
  const first = item(all, 0);
  const sum = new Float64Array(first.size);
  for (const t of all) t.f32().forEach((v, i) => (sum[i] = item(sum, i) + v));
  return Tensor.f32(
    Float32Array.from(sum, (v) => v / all.length),
    first.dims,
  );
}
