import { describe, expect, it } from 'vitest';
import { measureLayers } from '../../../src/analyse/layers.js';
import { MOST_ELEMENTS, stepsOf, withTaps } from '../../../src/analyse/taps.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { openModel } from '../../../src/runtime/open.js';

const MODEL =
  '<ir_version: 8, opset_import: ["" : 17]> g (float[N,4,240,240] x) => (float[N,4,240,240] y) { a = Relu(x)  ' +
  'y = Neg(a) }';
const model = (text = MODEL) => {
  const m = parseModel(text);
  inferShapes(m);
  return m;
};
const image = (value: (i: number) => number) => ({
  dtype: 'float32' as const,
  dims: [1, 4, 240, 240],
  data: Float32Array.from({ length: 4 * 240 * 240 }, (_, i) => value(i)),
});

describe('stepsOf', () => {
  it('leaves small tensors whole, and keeps batch and channels', () => {
    expect(stepsOf([1, 8, 64, 64], new Set([1]))).toBeUndefined();
    expect(stepsOf([1, 64, 240, 240], new Set([1]))).toEqual([1, 1, 11, 11]);
    expect(stepsOf([1, 100_000], new Set([1]))).toBeUndefined();
    expect(stepsOf([1, 4096, 768], new Set([2]))).toEqual([1, 97, 1]);
  });
  it('leaves about as many elements as are looked at, whatever the shape', () => {
    for (const dims of [
      [1, 3, 480, 480],
      [1, 32, 3, 100_000],
      [1, 1_000_000],
      [4, 64, 56, 56, 8],
    ]) {
      const steps = stepsOf(dims, new Set())!;
      const left = dims.reduce((n, d, i) => n * Math.ceil(d / steps[i]!), 1);
      expect(left).toBeLessThanOrEqual(1.2 * MOST_ELEMENTS * dims[0]!);
      expect(left).toBeGreaterThan(MOST_ELEMENTS / 4);
      expect(steps.every((s) => s % 2 === 1 || dims.includes(s))).toBe(true);
    }
  });
});

describe('withTaps', () => {
  it('gives the grid that its steps say, from the middle of the first on', async () => {
    const m = model();
    const a = [...m.graph.nodes][0]!.outputs[0]!;
    const { model: tapped, names } = withTaps(m, [{ value: a, steps: [1, 1, 11, 11] }]);
    const session = await openModel(tapped);
    const out = (await session.run({ x: image((i) => i) }, names))[names[0]!]!;
    await session.close();
    expect(out.dims).toEqual([1, 4, 22, 22]); // positions 5, 16, … 236
    expect(out.data[0]).toBe(5 * 240 + 5);
    expect(out.data[23]).toBe(16 * 240 + 16);
  });
});

describe('measureLayers of large tensors', () => {
  it('finds on the grid what is everywhere', async () => {
    const m = model();
    const off = model(
      MODEL.replace('a = Relu(x)', 'r = Relu(x)  a = Add(r, d)').replace('{ r', '<float d = {0.5}> { r'),
    );
    const noise = (i: number): number => Math.sin(i * 12.9898) * 2 + 1;
    const sample = { id: 's', hash: 'h', feeds: [{ x: image(noise) }] };
    const batches = async function* () {
      yield { feeds: sample.feeds, samples: [sample], rows: [{ sample, start: [0], length: [1] }], realRows: [1] };
    };
    const { tensors, samples } = await measureLayers({
      float: m,
      quantized: off,
      tensors: new Map(),
      batches,
      samples: 4,
    });
    expect(samples).toBe(1);
    let squares = 0;
    for (let i = 0; i < 4 * 240 * 240; i++) squares += Math.max(0, noise(i)) ** 2;
    const expected = 10 * Math.log10(squares / (4 * 240 * 240) / 0.25); // the error is 0.5 everywhere
    expect(tensors.find((t) => t.name === 'y')!.sqnrDb).toBeCloseTo(expected, 0);
  });
});
