import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { inlineFunctions } from '../../../src/ir/inline.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { printModel } from '../../../src/ir/text/print.js';
import { assertValid } from '../../../src/ir/verify.js';
import { encodeModel } from '../../../src/onnx/encode.js';
import type { Model } from '../../../src/ir/model.js';

const HEADER = '<ir_version: 8, opset_import: ["" : 17, "local" : 1]>\n';
async function run(model: Model): Promise<number[][]> {
  const session = await ort.InferenceSession.create(encodeModel(model), { logSeverityLevel: 4 });
  const out = await session.run({ x: new ort.Tensor('float32', [-2, -0.5, 1, 3], [4]) });
  return session.outputNames.map((name) => [...(out[name]!.data as Float32Array)]); // every output is float
}

describe('inlineFunctions', () => {
  it('gives a model without functions that onnxruntime runs to the same numbers', async () => {
    const text = `${HEADER}g (float[4] x) => (float[4] y, float[4] z, float[4] same, float[4] twice) {
      [a] y, n = local.outer <gain = 0.25> (x)
      z, m = local.outer (n)
      same, twice = local.pass (x)
      }
      <domain: "local", opset_import: ["" : 17, "local" : 1]>
      outer <gain: float = 0.5, other> (p) => (q, r) { m = local.leaky <slope: float = @gain> (p)  q = Neg(m)  r, s = local.clipped (m, "") }
      <domain: "local", opset_import: ["" : 17]>
      leaky <slope> (p) => (m) { m = LeakyRelu <alpha: float = @slope> (p) }
      <domain: "local", opset_import: ["" : 17]>
      clipped (p, low) => (c, d) { c = Clip(p, low)  t = Constant<value = bool {1}>()
        d = If (t) <then_branch = yes () => (k) { k = Neg(c) }, else_branch = no () => (k2) { k2 = Abs(c) }> }
      <domain: "local", opset_import: ["" : 17]>
      pass (p) => (p, p) { unused = Neg(p) }`;
    const model = parseModel(text);
    const before = parseModel(text);
    expect(inlineFunctions(model)).toBe(7);
    assertValid(model);
    expect(model.functions).toEqual([]);
    expect([...model.graph.nodes].every((n) => n.domain === '')).toBe(true);
    expect(model.graph.outputs.map((v) => v.name)).toEqual(['y', 'z', 'same', 'twice']);
    assertValid(parseModel(printModel(model)));
    const x = [-2, -0.5, 1, 3];
    expect(await run(model)).toEqual([[0.5, 0.125, -1, -3], [0.25, 0.0625, -1, -3], x, x]);
    expect(inlineFunctions(model)).toBe(0);
    // onnxruntime refuses to load functions that return an input or a value twice, so the comparison leaves that one
    // out.
    before.graph.removeOutput(3);
    before.graph.removeOutput(2);
    for (const n of [...before.graph.nodes]) if (n.op === 'pass') before.graph.remove(n);
    before.functions.splice(3, 1);
    expect((await run(before)).slice(0, 2)).toEqual((await run(model)).slice(0, 2));
  });

  it('refuses functions that call each other, and other opset versions', () => {
    const cyclic = `${HEADER}g (float x) => (y) { y = local.f(x) }
      <domain: "local", opset_import: ["local" : 1]> f (a) => (b) { b = local.h(a) }
      <domain: "local", opset_import: ["local" : 1]> h (a) => (b) { b = local.f(a) }`;
    expect(() => inlineFunctions(parseModel(cyclic))).toThrowError(expect.objectContaining({ code: 'GRAPH_CYCLE' }));
    const other =
      `${HEADER}g (float x) => (y) { y = local.f(x) } <domain: "local", opset_import: ["" : 16]> f (a) => (b) { ` +
      'b = Neg(a) }';
    expect(() => inlineFunctions(parseModel(other))).toThrowError(
      expect.objectContaining({ code: 'MODEL_UNSUPPORTED' }),
    );
  });
});
