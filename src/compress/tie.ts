import { z } from 'zod';
import { bytesText } from '../base/text.js';
import { item } from '../base/lists.js';
import type { Value } from '../ir/graph.js';
import { dataOf } from '../ir/known.js';
import { Tensor } from '../ir/tensor.js';
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

/** Float32 constants of equal dims that are equal, or as near to the first of them as is allowed, become one. */
export const tie = {
  name: 'tie',
  doc: 'Stores tensors once that are equal, or nearly so. Training moves tied tensors together.',
  options,
  async run({ model: { graph } }, { tolerance, least }) {
    await Promise.resolve();
    const firsts: { readonly value: Value; readonly others: Value[] }[] = [];
    let bytes = 0;
    for (const v of [...graph.initializers]) {
      if (v.data?.dtype !== 'float32' || v.data.size < least || v.isGraphOutput || graph.isInput(v)) continue;
      const near = firsts.find((f) => areNear(dataOf(f.value), dataOf(v), tolerance));
      if (!near) {
        firsts.push({ value: v, others: [] });
        continue;
      }
      near.others.push(v);
      bytes += v.data.byteLength;
    }
    for (const { value, others } of firsts) {
      if (!others.length) continue;
      value.data = meanOf([value, ...others].map(dataOf));
      for (const o of others) {
        graph.replaceUses(o, value);
        graph.initializers.delete(o);
      }
    }
    return `${firsts.reduce((n, f) => n + f.others.length, 0)} tensors tied to others · ${bytesText(bytes)} less`;
  },
} satisfies Compression<Options>;

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
