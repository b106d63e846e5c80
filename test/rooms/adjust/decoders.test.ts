/** rotate and awq on blocks of decoders: RMS normalisation in one node, with the sum before it, and spelled; gated layers. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { awq } from '../../../src/adjust/awq.js';
import { rotate } from '../../../src/adjust/rotate.js';
import type { AdjustContext } from '../../../src/adjust/types.js';
import { evaluateModel } from '../../../src/runtime/open.js';
import type { Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { loadModel } from '../../../src/onnx/files.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { cleaning } from '../../../src/passes/presets.js';
import { runPasses } from '../../../src/rewrite/pass.js';
import { contextOf, largestDifference, outputsOf } from './helpers.js';
import { parseModel } from '../../../src/ir/text/parse.js';

/** A gated layer behind a table; `norm` gives n1 = norm(x)·g1, `skip` h1 = x + a and n2 = norm(h1)·g2, `last` n3. */
const block = (norm: string, skip: string, last: string): string =>
  `g (int64[N,5] ids) => (float[N,5,16] y)
  <float[16,24] table, float[24] g1, float[24,24] wo, float[24] g2, float[24,48] gate, float[24,48] up, float[48,24] down, float[24] g3, float[24,16] head, float two = {2}, float eps = {0.00001}> {
  x = Gather(table, ids) ${norm} a = MatMul(n1, wo) ${skip}
  u = MatMul(n2, gate) s = Sigmoid(u) t = Mul(u, s) v = MatMul(n2, up) m = Mul(t, v) d = MatMul(m, down) h2 = Add(h1, d)
  ${last} y = MatMul(n3, head) }`;
const spelled = (x: string, g: string, n: string): string =>
  `p${n} = Pow(${x}, two) q${n} = ReduceMean<axes=[-1]>(p${n}) e${n} = Add(q${n}, eps) r${n} = Sqrt(e${n}) ` +
  `z${n} = Div(${x}, r${n}) ${n} = Mul(z${n}, ${g})`;
const one = (x: string, g: string, n: string): string =>
  `${n} = SimplifiedLayerNormalization<axis=-1, epsilon=0.00001>(${x}, ${g})`;
const FORMS: Readonly<Record<string, string>> = {
  spelled: block(spelled('x', 'g1', 'n1'), `h1 = Add(x, a) ${spelled('h1', 'g2', 'n2')}`, spelled('h2', 'g3', 'n3')),
  'in one node': block(one('x', 'g1', 'n1'), `h1 = Add(x, a) ${one('h1', 'g2', 'n2')}`, one('h2', 'g3', 'n3')),
  'with the sum before it': block(
    one('x', 'g1', 'n1'),
    'n2, o1, o2, h1 = com.microsoft.SkipSimplifiedLayerNormalization<epsilon=0.00001>(x, a, g2)',
    one('h2', 'g3', 'n3'),
  ),
};

function made(form: string): Model {
  const text = `<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>\n${FORMS[form] ?? form}`;
  const model = parseModel(text, { randomInitializers: 3 });
  for (const v of model.graph.initializers)
    if (/^g\d$/.test(v.name))
      v.data = Tensor.f32(Float32Array.from({ length: 24 }, (_, i) => (i % 8 === 5 ? 20 : 1 + i / 24)));
  inferShapes(model);
  return model;
}
const context = (model: Model): AdjustContext => contextOf(model, 4);
const rotated = (model: Model): Promise<string> => rotate.run(context(model), rotate.options.parse({}));
const scaled = (model: Model): Promise<string> =>
  awq.run(context(model), awq.options.parse({ bits: 3, block: 8, insert: false }));
const constant = (m: Model, name: string): Float32Array =>
  [...m.graph.initializers].find((v) => v.name === name)!.data!.f32();

describe.each(Object.keys(FORMS))('a decoder whose normalisation is %s', (form) => {
  it('is rotated: factors go into weights, and the function stays', async () => {
    const model = made(form);
    const before = await outputsOf(model);
    const nodes = model.graph.nodes.size;
    // the table, wo and down write; wo, gate, up and head read
    expect(await rotated(model)).toBe('1 residual stream, 7 constants rotated');
    expect(model.graph.nodes.size).toBe(nodes);
    expect(constant(model, 'table')).not.toEqual(constant(made(form), 'table'));
    expect(largestDifference(before, await outputsOf(model))).toBeLessThan(2e-5);
  });
  it('is scaled by awq: the factors of norms and the rows of up take what columns behind them are divided by', async () => {
    const model = made(form);
    const before = await outputsOf(model);
    const nodes = model.graph.nodes.size;
    expect(await scaled(model)).toMatch(/^\d+ channels before \d products · exponents/);
    expect(model.graph.nodes.size).toBe(nodes);
    const [g2, was] = [constant(model, 'g2'), constant(made(form), 'g2')];
    expect(g2[5]! / was[5]!).toBeLessThan(g2[0]! / was[0]!); // the channel that is wider is made smaller
    expect(largestDifference(before, await outputsOf(model))).toBeLessThan(2e-5);
  });
});

describe('where rotate or awq cannot apply', () => {
  it('a norm of a sum that others read too keeps the stream as it is, and says which', async () => {
    const text = FORMS['with the sum before it']!.replace(
      'm = Mul(t, v)',
      'm0 = Mul(t, v) k = Concat<axis=-1>(n2, n2) m = Add(m0, k)',
    );
    const model = made(text);
    const before = await outputsOf(model);
    expect(await rotated(model)).toMatch(/^0 residual streams.* 1 left: more than weights of its own reads '/);
    expect(largestDifference(before, await outputsOf(model))).toBe(0);
  });
  it('a table that is the head too is told of', async () => {
    const model = made('in one node');
    const table = constant(model, 'table');
    for (const v of model.graph.initializers)
      if (v.name === 'head')
        v.data = Tensor.f32(
          Float32Array.from(table, (_, i) => table[(i % 16) * 24 + Math.floor(i / 16)]!),
          [24, 16],
        );
    const before = await outputsOf(model);
    expect(await rotated(model)).toMatch(/ · embedding and head no longer hold the same numbers/);
    expect(largestDifference(before, await outputsOf(model))).toBeLessThan(2e-5);
  });
  it('factors that two norms share are left alone by awq', async () => {
    const model = made(
      FORMS['in one node']!.replaceAll('g2', 'g1').replace('float[24] g1, float[24,48]', 'float[24,48]'),
    );
    const before = await outputsOf(model);
    expect(await scaled(model)).toMatch(/^72 channels before 2 products/); // behind up, and before the head
    expect(largestDifference(before, await outputsOf(model))).toBeLessThan(2e-5);
  });
});

const MODELS = path.join(import.meta.dirname, '../../../../shared/models');
describe.skipIf(!existsSync(MODELS))('a trained decoder (skipped without the shared models)', () => {
  it.each(['tinylm.onnx', 'tinylm-gqa.onnx'])('%s is rotated whole', async (file) => {
    const model = loadModel(path.join(MODELS, file));
    await runPasses(model, cleaning, { evaluate: evaluateModel });
    inferShapes(model);
    const before = await outputsOf(model);
    expect(await rotated(model)).toMatch(/^1 residual stream, 4[24] constants rotated/);
    expect(largestDifference(before.slice(0, 1), (await outputsOf(model)).slice(0, 1))).toBeLessThan(2e-5);
  });
});
