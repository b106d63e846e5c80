/** Constants that the runtime does not compute stay nodes; the others are folded all the same. */
import { describe, expect, it } from 'vitest';
import { QuantError } from '../../../src/base/errors.js';
import { allGraphs, type Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { foldConstants, foldLargeConstants } from '../../../src/passes/fold-constants.js';
import { runPasses, type Pass } from '../../../src/rewrite/pass.js';
import { evaluateModel } from '../../../src/runtime/open.js';

const TEXT = `<ir_version: 8, opset_import: ["" : 17]>
g (float[2] x) => (float[2] y) <float[2] a = {1.0,2.0}, float[2] b = {3.0,4.0}> { s = Sin(a)
 t = Neg(b)
 u = Add(s, t)
 v = Abs(t)
 w = Add(u, v)
 y = Add(x, w) }`;

/** A runtime that lacks Sin. */
async function withoutSin(model: Model) {
  for (const g of allGraphs(model.graph))
    for (const n of g.nodes) if (n.op === 'Sin') throw new QuantError('MODEL_RUNTIME', 'no kernel for Sin');
  return evaluateModel(model);
}

describe('fold-constants', () => {
  it('folds around what the runtime does not compute, and says why that stays', async () => {
    const model = parseModel(TEXT);
    inferShapes(model);
    const traces = await runPasses(model, [foldConstants], { evaluate: withoutSin });
    expect(model.graph.topological().map((n) => n.op)).toEqual(['Sin', 'Add', 'Add', 'Add']);
    expect([...model.graph.nodes].find((n) => n.op === 'Add')?.inputs[1]?.data?.f32()).toEqual(Float32Array.of(-3, -4));
    expect(traces.flatMap((t) => t.refusals)).toEqual([
      { node: expect.stringContaining('s') as string, reason: 'no kernel for Sin' },
    ]);
    expect((await runPasses(model, [foldConstants], { evaluate: withoutSin })).every((t) => t.changes === 0)).toBe(
      true,
    );
  });
  const weightOf = async (text: string, pass: Pass = foldConstants): Promise<string[]> => {
    const model = parseModel(`<ir_version: 10, opset_import: ["" : 17]> ${text}`, { randomInitializers: 1 });
    inferShapes(model);
    await runPasses(model, [pass], { evaluate: evaluateModel });
    return model.graph.topological().map((n) => n.op);
  };
  /** A circulant matrix of its first row: element (i, j) is row[(j − i) mod 128]. */
  const circulant = (use: string, inputs = 'float[N,128] x'): string =>
    `g (${inputs}) => (y) <float[128] row, int64 zero = {0}, int64 one = {1}, int64 n = {128}, int64[2] col = {128,1}>
    { r = Range (zero, n, one)  c = Reshape (r, col)  d = Sub (r, c)  i = Mod (d, n)  w = Gather (row, i)  ${use} }`;
  it('leaves weights that are made of fewer numbers, with what makes them', async () => {
    const made = ['Range', 'Reshape', 'Sub', 'Mod', 'Gather'];
    expect(await weightOf(circulant('y = MatMul (x, w)'))).toEqual([...made, 'MatMul']);
    // such as a mask with values, or codes of four to a byte
    const bits = `g (float[N,64] x) => (y) <float[33] values, uint8[1,512] mask, uint8[8,1] by, uint8 two = {2},
      int64[2] dims = {64,64}, int64[1] all = {-1}, int64 axis = {0}> {
      s = BitShift <direction: string = "RIGHT"> (mask, by)  m = Mod (s, two)  f = Reshape (m, all)  c = Cast <to: int = 6> (f)
      p = Mod (c, two32)  r = Reshape (p, dims)  w = Gather (values, r)  y = MatMul (x, w) }`;
    expect(await weightOf(bits.replace('int64 axis = {0}', 'int32 two32 = {2}'))).toContain('BitShift');
  });
  it('folds them where it is asked to, what no layer reads as its weight, and patterns of few numbers', async () => {
    expect(await weightOf(circulant('y = MatMul (x, w)'), foldLargeConstants)).toEqual(['MatMul']);
    expect(await weightOf(circulant('y = Add (x, w)', 'float[128,128] x'))).toEqual(['Add']);
    const blur = `g (float[N,64,8,8] x) => (y) <float[1,1,3,3] k, int64[4] times = {64,1,1,1}>
      { w = Tile (k, times)  y = Conv <group: int = 64> (x, w) }`;
    expect(await weightOf(blur)).toEqual(['Conv']);
    const whole = 'g (float[N,64] x) => (y) <float[64,32] k> { w = Neg (k)  y = MatMul (x, w) }';
    expect(await weightOf(whole)).toEqual(['MatMul']);
  });
  it('lets errors of other kinds through', async () => {
    const model = parseModel(TEXT);
    inferShapes(model);
    await expect(
      runPasses(model, [foldConstants], { evaluate: () => Promise.reject(new Error('a bug')) }),
    ).rejects.toThrow('a bug');
  });
});
