/** Constants that the runtime does not compute stay nodes; the others are folded all the same. */
import { describe, expect, it } from 'vitest';
import { QuantError } from '../../../src/base/errors.js';
import { allGraphs, type Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { foldConstants } from '../../../src/passes/fold-constants.js';
import { runPasses } from '../../../src/rewrite/pass.js';
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
  it('lets errors of other kinds through', async () => {
    const model = parseModel(TEXT);
    inferShapes(model);
    await expect(
      runPasses(model, [foldConstants], { evaluate: () => Promise.reject(new Error('a bug')) }),
    ).rejects.toThrow('a bug');
  });
});
