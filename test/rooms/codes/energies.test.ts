/** Mean squares and means of what each column of a weight meets. */
import { expect, it } from 'vitest';
import { layerShape } from '../../../src/channels/layer.js';
import { importanceOf, inputEnergies } from '../../../src/codes/energies.js';
import { createRng } from '../../../src/base/rng.js';
import type { Feed } from '../../../src/ir/feed.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';

const model = parseModel(
  `<ir_version: 10, opset_import: ["" : 17]> g (float[N,4,5,5] x) => (y, z)
  <float[6,2,3,3] w, float[6] b, float[4,6] m>
  { y = Conv <group: int = 2, strides: ints = [2,2], pads: ints = [1,0,1,0]> (x, w, b)
    p = GlobalAveragePool (x)  f = Flatten (p)  z = MatMul (f, m) }`,
  { randomInitializers: 3 },
);
inferShapes(model);
const feeds: Feed[] = [3, 2].map((n, k) => {
  const rng = createRng(k);
  return {
    x: { dtype: 'float32', dims: [n, 4, 5, 5], data: Float32Array.from({ length: n * 100 }, () => rng.normal() + 0.5) },
  };
});
const layers = model.graph.topological().flatMap((n) => layerShape(n) ?? []);

it('are those of the patches, with strides, pads and groups, over batches of any size', async () => {
  const found = await inputEnergies(
    {
      model,
      feeds: async function* () {
        for (const f of feeds) yield await Promise.resolve(f);
      },
      threads: 1,
    },
    layers,
  );
  const conv = layers.find((l) => l.view.kind === 'window')!;
  const seen = found.get(conv.weight)!;
  const squares = new Float64Array(36);
  const sums = new Float64Array(36);
  let places = 0;
  for (const { x } of feeds) {
    const data = x!.data as Float32Array;
    for (let n = 0; n < x!.dims[0]!; n++)
      for (let i = 0; i < 3; i++)
        for (let j = 0; j < 2; j++, places++)
          for (let c = 0; c < 4; c++)
            for (let k = 0; k < 9; k++) {
              const [row, column] = [2 * i - 1 + Math.floor(k / 3), 2 * j + (k % 3)];
              const v = row < 0 || row > 4 ? 0 : data[n * 100 + c * 25 + row * 5 + column]!;
              squares[c * 9 + k]! += v * v;
              sums[c * 9 + k]! += v;
            }
  }
  squares.forEach((v, i) => expect(seen.squares[i]).toBeCloseTo(v / places, 4));
  sums.forEach((v, i) => expect(seen.means[i]).toBeCloseTo(v / places, 4));
  // Rows 3 to 5 are of the second group, which sees channels 2 and 3.
  const importance = importanceOf(conv, seen);
  expect(importance[0]).toBeCloseTo(squares[0]! / places, 4);
  expect(importance[3 * 18 + 4]).toBeCloseTo(squares[18 + 4]! / places, 4);
  const product = layers.find((l) => l.view.kind === 'product')!;
  const own = found.get(product.weight)!;
  let [total, count] = [0, 0];
  for (const { x } of feeds)
    for (let n = 0; n < x!.dims[0]!; n++, count++)
      total += ((x!.data as Float32Array).subarray(n * 100 + 25, n * 100 + 50).reduce((a, b) => a + b, 0) / 25) ** 2;
  expect(own.squares[1]).toBeCloseTo(total / count, 4);
  // [inputs, outputs]: the inputs lie on the first axis.
  expect([...importanceOf(product, own)].slice(6, 12).every((v) => Math.abs(v - total / count) < 1e-4)).toBe(true);
});
