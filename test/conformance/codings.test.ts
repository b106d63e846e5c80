/** Every coding: what onnxruntime decodes is, bit for bit, what the reference says; sizes are what arithmetic says. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createRng } from '../../src/base/rng.js';
import { coded } from '../../src/formats/coded.js';
import type { Model } from '../../src/ir/model.js';
import { parseModel } from '../../src/ir/text/parse.js';
import { verify } from '../../src/ir/verify.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { planCoded } from '../../src/quantize/planners/coded.js';
import { openModel } from '../../src/runtime/open.js';
import { codings } from '../../src/scheme/codings/index.js';
import { decode, matrixOf } from '../../src/scheme/codings/matrix.js';

/** Options beyond the defaults that lead to other graphs. */
const VARIANTS: readonly (readonly [name: string, options: Record<string, unknown>])[] = [
  ...codings.map((c) => [c.name, {}] as const),
  ['integer', { bits: 4 }],
  ['integer', { bits: 2, block: 16 }],
  ['integer', { bits: 8, block: 32 }],
  ['integer', { bits: 3 }],
  ['integer', { bits: 3, block: 32 }],
  ['integer', { bits: 5 }],
  ['integer', { bits: 6, block: 16 }],
  ['integer', { bits: 7 }],
  ['mx', { element: 'float8e4m3fn' }],
  ['mx', { element: 'float8e5m2' }],
  ['k-means', { bits: 8 }],
  ['k-means', { bits: 2 }],
  ['k-means', { bits: 1, scope: 'channel' }],
  ['k-means', { bits: 4, scope: 'channel' }],
  ['k-means', { bits: 2, scope: 'channel' }],
  ['k-means', { bits: 3 }],
  ['k-means', { bits: 5 }],
  ['k-means', { bits: 6 }],
  ['k-means', { bits: 7 }],
  ['k-means', { bits: 3, scope: 'channel' }],
  ['k-means', { bits: 4, scope: { channels: 5 } }],
  ['k-means', { bits: 3, scope: { channels: 2 }, scale: 'channel' }],
  ['k-means', { bits: 2, scope: { channels: 4 }, start: 'random' }],
  ['k-means', { scale: 'channel', start: 'plus-plus' }],
  ['power-of-two', { bits: 2 }],
  ['power-of-two', { bits: 3, powerOfTwoScale: true }],
  ['power-of-two', { bits: 5 }],
  ['additive-power-of-two', { bits: 3 }],
  ['additive-power-of-two', { bits: 5 }],
  ['additive-power-of-two', { bits: 4, powerOfTwoScale: true }],
  ['logarithmic', { bits: 6, steps: 3 }],
  ['logarithmic', { bits: 7 }],
  ['power-of-two', { bits: 6 }],
  ['binary', { stochastic: true }],
];
/** Rows of 45 and of 40 elements, a turned matrix, a table, a recurrent cell and a branch. */
const body = `g (float[1,5,8,8] x, int64[2] i, bool c, float[3,1,20] s) => (float[1,16,8,8] a, float[2,40] b, float[2,30] d, float[3,1,1,12] l, float[2,20] q)
  <float[16,5,3,3] w, float[64,40] t, float[40,30] v, float[1,48,20] W, float[1,48,12] R, float[20,30] k> {
  a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w)  b = Gather(t, i)  d = MatMul(b, v)  l, h, z = LSTM<hidden_size=12>(s, W, R)
  q = If (c) <then_branch = yes () => (float[2,20] y) <float[30,20] m> { y = MatMul(d, m) }, else_branch = no () => (float[2,20] y2) { e = Transpose<perm=[1,0]>(k) y2 = MatMul(d, e) }> }`;

async function codedModel(
  name: string,
  given: Record<string, unknown>,
): Promise<{ model: Model; expected: Map<string, Float32Array> }> {
  const coding = codings.find((c) => c.name === name)!;
  const options = coding.options.parse(given);
  const opset = Math.max(17, coding.minOpset(options));
  const model = parseModel(`<ir_version: ${opset > 23 ? 11 : 10}, opset_import: ["" : ${opset}]>\n${body}`, {
    randomInitializers: 5,
  });
  const planned = planCoded(model, { coding: name, options, include: [], exclude: [] });
  const expected = new Map<string, Float32Array>();
  const rng = createRng(0, 'rounding');
  for (const [v, spec] of planned.plan) {
    if (spec.kind !== 'coded' || !('uses' in v)) continue;
    const matrix = matrixOf(v.data!.f32(), v.data!.dims, spec.axis);
    expected.set(v.name, decode(coding.encode(matrix, options, rng), matrix));
  }
  coded.rewrite({ model, planned, params: new Map(), target: { onCodes: [] }, seed: 0 });
  await Promise.resolve();
  return { model, expected };
}

describe.each(VARIANTS)('%s %o', (name, given) => {
  it('is decoded by onnxruntime as by the reference, bit for bit, wherever weights are', async () => {
    const { model, expected } = await codedModel(name, given);
    expect([...expected.keys()].sort()).toEqual(['R', 'W', 'm', 't', 'v', 'w'].filter((k) => expected.has(k)));
    expect(expected.size).toBe(6);
    expect(verify(model)).toEqual([]);
    const outer = [...model.graph.nodes].flatMap((n) => n.outputs).filter((v) => expected.has(v.name));
    for (const v of outer) {
      v.dtype = 'float32';
      model.graph.addOutput(v);
    }
    const session = await openModel(model);
    const feed = { dtype: 'float32', data: new Float32Array(320), dims: [1, 5, 8, 8] } as const;
    const outputs = await session.run({
      x: feed,
      i: { dtype: 'int64', dims: [2], data: BigInt64Array.of(3n, 60n) },
      c: { dtype: 'bool', dims: [], data: Uint8Array.of(1) },
      s: { dtype: 'float32', dims: [3, 1, 20], data: new Float32Array(60).fill(0.5) },
    });
    await session.close();
    expect(outer).toHaveLength(5); // the sixth is in the branch
    for (const v of outer)
      // float32 outputs
      expect(Buffer.compare(bits(outputs[v.name]!.data as Float32Array), bits(expected.get(v.name)!)), v.name).toBe(0);
    // The branch: y = d · m, with the decoded m.
    const [d, m] = [outputs.d!.data as Float32Array, expected.get('m')!];
    const y = outputs.q!.data as Float32Array;
    for (let at = 0; at < 40; at++) {
      let sum = 0;
      for (let j = 0; j < 30; j++) sum += d[Math.floor(at / 20) * 30 + j]! * m[j * 20 + (at % 20)]!;
      expect(y[at]).toBeCloseTo(sum, 3);
    }
  });

  it('gives the same bytes twice', async () => {
    expect(
      Buffer.compare(
        encodeModel((await codedModel(name, given)).model),
        encodeModel((await codedModel(name, given)).model),
      ),
    ).toBe(0);
  });
});
const bits = (x: Float32Array): Buffer => Buffer.from(x.slice().buffer);

describe('levels', () => {
  const matrix = (values: readonly number[]) => matrixOf(Float32Array.from(values), [1, values.length], 0);
  const decoded = (name: string, values: readonly number[], given: Record<string, unknown> = {}): number[] => {
    const coding = codings.find((c) => c.name === name)!;
    const m = matrix(values);
    return [...decode(coding.encode(m, coding.options.parse(given), createRng(1)), m)];
  };
  it('of ternary are those that err least of all choices', () => {
    // Keeping 3 and 4: (3+4)²/2 = 24.5 > 4² = 16 and (3+4+1)²/3 = 21.3.
    expect(decoded('ternary', [4, -3, 1, 0.5])).toEqual([3.5, -3.5, 0, 0]);
  });
  it('of binary are ± the mean magnitude', () => expect(decoded('binary', [1, -2, 0, -5])).toEqual([2, -2, 2, -2]));
  it('of power-of-two are exact for powers of two', () =>
    expect(decoded('power-of-two', [1, -0.5, 0.25, 0, 0.125, -1], { powerOfTwoScale: true })).toEqual([
      1, -0.5, 0.25, 0, 0.125, -1,
    ]));
  it('of additive powers of two hold the sums of the paper', () => {
    // 5 bits: {0, 1, 1/4, 1/16} + {0, 1/2, 1/8, 1/32} over 1.5.
    const all = [0, 1, 0.25, 0.0625].flatMap((a) => [0, 0.5, 0.125, 0.03125].map((b) => a + b));
    const given = all.flatMap((x) => [x, -x]);
    decoded('additive-power-of-two', given, { bits: 5 }).forEach((x, i) => expect(x).toBeCloseTo(given[i]!, 6));
  });
  it('of k-means are the means of clusters', () =>
    expect(decoded('k-means', [0, 0.1, 5, 5.2, 9, 9.1, -4, -4.2], { bits: 2 }).map((x) => Math.fround(x))).toEqual(
      [0.05, 0.05, 5.1, 5.1, 9.05, 9.05, -4.1, -4.1].map(Math.fround),
    ));
  it('of mx are those of the specification', () => {
    // The largest, 7, has exponent 2: the scale is 2^(2−2) = 1, and 7 saturates at 6.
    expect(decoded('mx', [7, 5, 0.3, -0.2, 2.6])).toEqual([6, 4, 0.5, -0, 3]); // 5 ties to the even code of 4
    expect(decoded('mx', [14, 10, 0.6])).toEqual([12, 8, 1]);
  });
  it('of float16 refuse what is beyond the type', () => {
    const f = codings.find((c) => c.name === 'float16')!;
    expect(f.refusal?.(matrix([1, 1e5]), {})).toMatch(/100000, beyond the range/);
    expect(f.refusal?.(matrix([1, 65504]), {})).toBeUndefined();
  });
  it.each(codings.map((c) => [c.name] as const))(
    '%s has defined answers for zeros, constants, denormals, NaN and infinity',
    (name) => {
      for (const values of [
        [0, 0, 0, 0],
        [3, 3, 3, 3],
        [1e-42, -1e-42, 0, 1e-40],
        [NaN, 1, -1, 0],
      ]) {
        const out = decoded(name, values);
        out.forEach((x, i) => {
          if (Number.isFinite(values[i]!)) expect(Number.isFinite(x), `${String(values)} → ${String(out)}`).toBe(true);
        });
        if (values[0] === 3) out.forEach((x) => expect(Math.abs(x - 3)).toBeLessThan(0.2));
      }
    },
  );
});

describe('sizes', () => {
  it.each<[string, Record<string, unknown>, number]>([
    ['integer', { bits: 8 }, 8],
    ['integer', { bits: 4, block: 32 }, 4 + 32 / 32],
    ['float16', {}, 16],
    ['float8e4m3', {}, 8],
    ['mx', {}, 4 + 8 / 32],
    ['nvfp4', {}, 4 + 8 / 16],
    ['k-means', { bits: 4 }, 4],
    ['k-means', { bits: 2 }, 2],
    ['k-means', { bits: 8 }, 8],
    ['power-of-two', { bits: 4 }, 4],
    ...[3, 5, 6, 7].flatMap((bits): [string, Record<string, unknown>, number][] => [
      ['integer', { bits }, bits],
      ['integer', { bits, block: 32 }, bits + 1],
      ['k-means', { bits }, bits],
    ]),
    ['power-of-two', { bits: 3 }, 3],
    ['additive-power-of-two', { bits: 6 }, 6],
    ['logarithmic', { bits: 5 }, 5],
    ['ternary', {}, 8 / 5],
    ['binary', {}, 1],
  ])('%s %o: within 3 % of %f bits a weight, scales, tables and graph counted', (name, given, bits) => {
    const coding = codings.find((c) => c.name === name)!;
    const options = coding.options.parse(given);
    const model = parseModel(
      `<ir_version: 11, opset_import: ["" : 25]>\n` +
        'g (float[N,512] x) => (float[N,1024] y) <float[512,1024] w> { y = MatMul(x, w) }',
      { randomInitializers: 5 },
    );
    coded.rewrite({
      model,
      planned: planCoded(model, { coding: name, options, include: [], exclude: [] }),
      params: new Map(),
      target: { onCodes: [] },
      seed: 0,
    });
    const bytes = encodeModel(model).length;
    const rows =
      name === 'k-means'
        ? 4 * 2 ** Number(given.bits)
        : ['float16', 'mx', 'nvfp4'].includes(name) || given.block
          ? 0
          : 4 * 1024;
    const tables =
      name === 'binary'
        ? 256 * 8 * 4
        : name === 'ternary'
          ? 243 * 5 * 4
          : name === 'k-means' && bits === 2
            ? 256 * 4 * 4
            : 0; // what a byte means
    const least = (512 * 1024 * bits) / 8 + rows + tables;
    expect(bytes / least).toBeLessThan(1.03);
    expect(bytes / least).toBeGreaterThan(0.999);
  });
});

it('docs/recipe.md names every coding', () => {
  const text = readFileSync(new URL('../../docs/recipe.md', import.meta.url), 'utf8');
  for (const c of codings) expect(text, c.name).toContain(c.doc);
});
