/** The opset is raised where a fusion that would fire needs it, and only there. */
import { describe, expect, it } from 'vitest';
import type { Diagnostic } from '../../../src/base/errors.js';
import { allGraphs, type Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { verify } from '../../../src/ir/verify.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { floatFusions, fusions, replacements } from '../../../src/passes/fusions.js';
import { withRaisedOpset } from '../../../src/passes/raise-opset.js';
import { runPasses } from '../../../src/rewrite/pass.js';
import { evaluateModel } from '../../../src/runtime/open.js';

const header = (opset: number): string => `<ir_version: 8, opset_import: ["" : ${opset}]>\n`;
const GELU =
  '<float r = {1.4142135}, float one = {1.0}, float half = {0.5}> { s = Div(x, r)\n e = Erf(s)\n' +
  ' a = Add(e, one)\n m = Mul(x, a)\n';

async function optimise(
  text: string,
  passes = withRaisedOpset([...fusions, ...replacements]),
): Promise<{ model: Model; ops: string[]; notes: Diagnostic[] }> {
  const model = parseModel(text, { randomInitializers: 1 });
  inferShapes(model);
  const notes: Diagnostic[] = [];
  await runPasses(model, passes, { evaluate: evaluateModel, report: (d) => notes.push(d) });
  expect(verify(model)).toEqual([]);
  return { model, ops: [...allGraphs(model.graph)].flatMap((g) => g.topological().map((n) => n.op)), notes };
}

describe('withRaisedOpset', () => {
  it('raises to what the fusion needs, and no further', async () => {
    const { model, ops } = await optimise(`${header(13)}g (float[N,8] x) => (float[N,8] y) ${GELU} y = Mul(m, half) }`);
    expect(ops).toEqual(['Gelu']);
    expect(model.opsets.get('')).toBe(20);
    expect(model.irVersion).toBe(9);
  });
  it('leaves a model that no newer op helps', async () => {
    const { model, ops } = await optimise(`${header(13)}g (float[N,8] x) => (float[N,8] y) { y = Relu(x) }`);
    expect(ops).toEqual(['Relu']);
    expect(model.opsets.get('')).toBe(13);
  });
  it('leaves a model whose ops have no later form, with a note', async () => {
    const text =
      `${header(18)}g (float[N,8] x, float[N,C,4] z) => (float[N,8] y, float[N,C,4] g) <float r = {1.4142135}, ` +
      `float one = {1.0}, float half = {0.5}, float[2] s2, float[2] b2> { s = Div(x, r)\n e = Erf(s)\n` +
      ` a = Add(e, one)\n m = Mul(x, a)\n y = Mul(m, half)\n n = Softplus(z)\n t = Tanh(n)\n w = Mul(n, t)\n` +
      ' g = GroupNormalization<num_groups=2>(z, s2, b2) }';
    // Gelu alone needs 20, which GroupNormalization with unknown channels reaches; RMSNormalization would need 23,
    // which it does not.
    const rms = text
      .replace(
        'w = Mul(n, t)',
        'q = Mul(x, x)\n v = ReduceMean(q, ax)\n ve = Add(v, half)\n sd = Sqrt(ve)\n w = Div(x, sd)',
      )
      .replace('float[2] s2', 'int64[1] ax = {-1}, float[2] s2');
    const { model, ops, notes } = await optimise(rms);
    expect(model.opsets.get('')).toBe(20);
    expect(ops).toContain('Gelu');
    expect(ops).not.toContain('RMSNormalization');
    expect(notes.map((n) => n.code)).toContain('MODEL_UNSUPPORTED');
  });
  it('fuses in subgraphs', async () => {
    const { ops } = await optimise(
      `${header(17)}g (float[N,8] x, bool c) => (float[N,8] y) <float one = {1.0}> { y = If(c) <then_branch = ` +
        `t () => (float[N,8] t1) <float r = {1.4142135}, float half = {0.5}> { s = Div(x, r)\n e = Erf(s)\n` +
        ` a = Add(e, one)\n m = Mul(x, a)\n` +
        ' t1 = Mul(m, half) }, else_branch = f () => (float[N,8] f1) { f1 = Relu(x) }> }',
    );
    expect(ops.sort()).toEqual(['Gelu', 'If', 'Relu']);
  });
});

describe('fusions together', () => {
  it('build LayerNormalization with scale and bias out of nine nodes', async () => {
    const { ops, model } = await optimise(`${header(
      13,
    )}g (float[N,5,8] x) => (float[N,5,8] y) <float two = {2.0}, float eps = {0.00001}, float[8] gamma, float[8] beta> { mu = ReduceMean<axes=[-1]>(x)
 d = Sub(x, mu)\n q = Pow(d, two)\n v = ReduceMean<axes=[-1]>(q)\n e = Add(v, eps)\n s = Sqrt(e)\n n = Div(d, s)\n w = Mul(n, gamma)\n y = Add(w, beta) }`);
    expect(ops).toEqual(['LayerNormalization']);
    expect([...model.graph.nodes][0]?.inputs).toHaveLength(3);
  });
  it('keep ops with integer kernels out of the float fusions unless asked', async () => {
    const text = `${header(17)}g (float[N,8] x) => (float[N,8] y) { s = Sigmoid(x)\n y = Mul(x, s) }`;
    expect((await optimise(text)).ops).toEqual(['Sigmoid', 'Mul']);
    const { ops, model } = await optimise(text, withRaisedOpset(floatFusions));
    expect(ops).toEqual(['Swish']);
    expect(model.opsets.get('')).toBe(24);
  });
});
