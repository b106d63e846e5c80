/** Spectra inside of a model: what leads to a logarithm or root stays float, and the nets behind it are near. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import type { Model } from '../../../src/ir/model.js';
import { saveModel } from '../../../src/onnx/files.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { spectrumNodes } from '../../../src/quantize/spectrum.js';
import { resolveRecipe } from '../../../src/recipe/load.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-test-'));
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});
const LENGTH = 2048;
const FRAME = 128;
const BINS = 32;
// Tones of 0 to −60 dB, each sample louder or softer than the last.
writeFileSync(
  path.join(dir, 'audio.mjs'),
  `let state = 7;
const random = () => ((state = (state * 1103515245 + 12345) % 2147483648) / 2147483648);
export function* samples() {
  for (let s = 0; s < 12; s++) {
    const tones = Array.from({ length: 6 }, () => [10 ** (-3 * random()), 0.05 + 2.5 * random(), 6 * random()]);
    const loud = 10 ** (-1.5 * random());
    yield { feed: { x: Float32Array.from({ length: ${LENGTH} }, (_, i) =>
      loud * (tones.reduce((sum, [a, w, p]) => sum + a * Math.sin(w * i + p), 0) + 0.001 * (random() - 0.5))) } };
  }
}`,
);
/** A spectrogram of 31 frames by convolution, then \`tail\`, which makes z of [1,1,32,31], and a net on that. */
const audio = (tail: string, more = ''): string =>
  `<ir_version: 8, opset_import: ["" : 17]>
g (float[1,1,${LENGTH}] x) => (float[1,4,16,16] y)
<float[${BINS},1,${FRAME}] cosines, float[${BINS},1,${
    FRAME
  }] sines, float[8,1,3,3] w1, float[4,8,3,3] w2, float tiny = {1e-6},
 int64[1] one = {1}, int64[1] zero = {0}, float two = {2}${more}> {
  re = Conv<strides=[64]>(x, cosines) im = Conv<strides=[64]>(x, sines) ${tail}
  c1 = Conv<pads=[1,1,1,1]>(z, w1) r1 = Relu(c1) y = Conv<pads=[1,1,1,1], strides=[2,2]>(r1, w2) }`;

function withSines(model: Model): Model {
  for (const v of model.graph.initializers) {
    if (v.name !== 'cosines' && v.name !== 'sines') continue;
    const wave = v.name === 'sines' ? Math.sin : Math.cos;
    const data = Float32Array.from({ length: BINS * FRAME }, (_, i) => {
      const [k, t] = [Math.floor(i / FRAME), i % FRAME];
      return wave((Math.PI * (k + 1) * t) / BINS) * Math.sin((Math.PI * t) / FRAME) ** 2;
    });
    v.data = Tensor.f32(data, [BINS, 1, FRAME]);
  }
  return model;
}

const SQUARES = 'a = Mul(re, re) b = Mul(im, im) p = Add(a, b)';
const WAYS: Readonly<Record<string, readonly [tail: string, more?: string]>> = {
  'squares and a logarithm': [`${SQUARES} e = Add(p, tiny) l = Log(e) z = Unsqueeze(l, one)`],
  'powers, a root and decibels': [
    'a = Pow(re, two) b = Pow(im, two) p = Add(a, b) m = Sqrt(p) f = Max(m, tiny) l = Log(f) z = Unsqueeze(l, one)',
  ],
  'a norm of two parts': [
    `ru = Unsqueeze(re, zero) iu = Unsqueeze(im, zero) s = Concat<axis=0>(ru, iu) m = ReduceL2<axes=[0], keepdims=0>(s)
     e = Add(m, tiny) l = Log(e) z = Unsqueeze(l, one)`,
  ],
  'bands of the power': [
    `${SQUARES} pt = Transpose<perm=[0,2,1]>(p) q = MatMul(pt, bands) e = Max(q, tiny) l = Log(e)
     lt = Transpose<perm=[0,2,1]>(l) z = Unsqueeze(lt, one)`,
    ', float[32,32] bands',
  ],
};

async function run(
  name: string,
  text: string,
  quantize: object = {},
): Promise<Awaited<ReturnType<typeof runRecipe>>['record']> {
  const model = withSines(parseModel(text, { randomInitializers: 5 }));
  const bands = [...model.graph.initializers].find((v) => v.name === 'bands');
  // Bands of power are sums of neighbours.
  if (bands)
    bands.data = Tensor.f32(
      Float32Array.from({ length: 1024 }, (_, i) => Math.max(0, 1 - Math.abs((i >> 5) - (i & 31)) / 3)),
      [32, 32],
    ); // the text has them
  const file = path.join(dir, `${name}.onnx`);
  saveModel(model, file);
  const recipe = await resolveRecipe({
    version: 1,
    model: file,
    calibration: { data: { module: path.join(dir, 'audio.mjs') }, cache: false },
    quantize: { format: 'qdq', ...quantize },
    evaluation: { latency: false, profile: false, layers: false },
  });
  return (await runRecipe({ recipe, outDir: path.join(dir, `${name}-out`) })).record;
}

describe('static int8 behind a spectrum', () => {
  it.each(Object.entries(WAYS))('%s', async (name, [tail, more]) => {
    const record = await run(name.replaceAll(' ', '-'), audio(tail, more));
    const told = record.diagnostics.find((d) => d.code === 'SPECTRUM');
    expect(told?.severity).toBe('note');
    expect(told?.hint).toContain('quantize.layers');
    const conv = (output: string): string | undefined => record.nodes.find((n) => n.name === output)?.planned;
    expect(record.evaluation!.outputs[0]!.sqnrDb).toBeGreaterThan(20);
    expect([conv('re'), conv('im'), conv('c1'), conv('y')]).toEqual(['float', 'float', 'integer', 'integer']);
  });
  it('runs in integers where quantize.layers names the layers', async () => {
    const layers = ['re', 'im'].map((match) => ({ match }));
    const record = await run('forced', audio(WAYS['squares and a logarithm']![0]), { layers }); // it is above
    expect(record.diagnostics.map((d) => d.code)).not.toContain('SPECTRUM');
    // What all of them had before such layers stayed float.
    expect(record.evaluation!.outputs[0]!.sqnrDb).toBeLessThan(15);
  });
});

describe('spectrumNodes', () => {
  const kept = (body: string, shape = '8,16'): string[] => {
    const model = parseModel(
      `<ir_version: 8, opset_import: ["" : 17]>
g (float[4,16] x) => (float[${shape}] y)
<float[16,16] w, float[16,16] v, float eps = {1e-6}, float one = {1}, float two = {2}> { ${body} }`,
      { randomInitializers: 1 },
    );
    inferShapes(model);
    return [...spectrumNodes(model.graph.topological(), new Set(model.graph.inputs)).keys()].map(
      (n) => n.outputs[0]!.name, // a product has one
    );
  };
  it('finds all linear layers of one stretch, and none before something else', () => {
    expect(kept('a = MatMul(x, w) r = Relu(a) b = MatMul(r, v) p = Pow(b, two) e = Add(p, eps) y = Log(e)')).toEqual([
      'b',
    ]);
    expect(kept('a = MatMul(x, w) b = MatMul(a, v) p = Abs(b) y = Log(p)').sort()).toEqual(['a', 'b']);
    expect(kept('a = MatMul(x, w) p = Mul(a, a) q = MatMul(p, v) f = Clip(q, eps) y = Log(f)').sort()).toEqual([
      'a',
      'q',
    ]);
    expect(
      kept('a = MatMul(x, w) p = Mul(a, a) b = MatMul(x, v) q = Mul(b, b) s = Add(p, q) y = Sqrt(s)').sort(),
    ).toEqual(['a', 'b']);
    expect(kept('a = MatMul(x, w) m = Abs(a) e = Add(m, eps) y = Div(x, e)')).toEqual(['a']);
  });
  it('leaves norms over many, gates, softmax and what is kept off zero alone', () => {
    const norm = `a = MatMul(x, w) m = ReduceMean<axes=[1]>(a) d = Sub(a, m) p = Pow(d, two) s = ReduceMean<axes=[1]>(p)
      e = Add(s, eps) r = Sqrt(e) y = Div(d, r)`;
    expect(kept(norm)).toEqual([]);
    expect(kept('a = MatMul(x, w) n = ReduceL2<axes=[1]>(a) y = Div(a, n)')).toEqual([]);
    expect(kept('a = MatMul(x, w) s = Softmax(a) y = Log(s)')).toEqual([]);
    expect(kept('a = MatMul(x, w) m = Abs(a) e = Add(m, one) y = Div(a, e)')).toEqual([]);
    expect(kept('a = MatMul(x, w) g = Sigmoid(a) p = Mul(a, g) y = Log(p)')).toEqual([]);
    expect(kept('a = MatMul(x, w) p = Mul(a, a) y = MatMul(p, v)')).toEqual([]);
  });
});
