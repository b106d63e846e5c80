/** Sizes that inference does not know get names, which shape arithmetic then follows. */
import { describe, expect, it } from 'vitest';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { eliminateNeutral } from '../../../src/passes/eliminate-neutral.js';
import { foldShapes } from '../../../src/passes/fold-shapes.js';
import { nameSizes } from '../../../src/passes/name-sizes.js';
import { runPasses } from '../../../src/rewrite/pass.js';
import { evaluateModel } from '../../../src/runtime/open.js';

const parse = (text: string): Model =>
  parseModel(`<ir_version: 8, opset_import: ["" : 17]>\n${text}`, { randomInitializers: 1 });
const valueOf = (model: Model, name: string) =>
  [...model.graph.nodes].flatMap((n) => n.outputs).find((o) => o.name === name)!;

// What splits heads off a batch of sequences that computed limits cut: two unknown sizes, of which Reshape can leave
// out one.
const HEADS = `g (float[N,S,8] x, int64[2] e) => (float[L,M,2,4] y) <int64[1] z = {0}, int64[2] starts = {0,0}, int64[2] axes = {0,1}, int64 zero = {0}, int64 first = {1}, int64[2] tail = {2,4}> { c = Slice(x, starts, e, axes)
 r = Relu(c)\n s = Shape(c)\n a = Gather(s, zero)\n b = Gather(s, first)\n a1 = Unsqueeze(a, z)\n b1 = Unsqueeze(b, z)\n t = Concat<axis=0>(a1, b1, tail)\n y = Reshape(r, t) }`;

describe('name-sizes', () => {
  it('lets a Reshape to computed sizes become one that copies them', async () => {
    const without = parse(HEADS);
    await runPasses(without, [foldShapes], { evaluate: evaluateModel });
    expect(valueOf(without, 'y').producer?.inputs[1]?.isInitializer).toBe(false);

    const model = parse(HEADS);
    const traces = await runPasses(model, [nameSizes, foldShapes], { evaluate: evaluateModel });
    // a name is no change of the model
    expect(traces.filter((t) => t.changes).map((t) => t.pass)).toEqual(['fold-shapes']);
    expect(valueOf(model, 'c').shape).toEqual([null, null, 8]); // the names are gone again
    expect(valueOf(model, 'y').producer?.inputs[1]?.data?.numbers()).toEqual([0, 0, 2, 4]);
  });
  it('leaves graph outputs as the file declares them', () => {
    const model = parse('g (float[N,8] x, int64[1] e) => (float[?,8] y) <int64[1] z = {0}> { y = Slice(x, z, e, z) }');
    inferShapes(model);
    expect(
      nameSizes.run({ model, evaluate: evaluateModel, refuse: () => undefined, report: () => undefined }).changes,
    ).toBe(0);
    expect(model.graph.outputs[0]?.shape).toEqual([null, 8]);
  });
  it('leaves no name in outputs that passes replace', async () => {
    const model = parse(
      'g (float[N,8] x, int64[1] e) => (float[?,8] y, float[4,8] u) <int64[1] z = {0}, float one = {1.0}> { c ' +
        '= Slice(x, z, e, z)\n y = Mul(c, one)\n d = Mul(y, one)\n u = Abs(d) }',
    );
    inferShapes(model);
    await runPasses(model, [nameSizes, eliminateNeutral], { evaluate: evaluateModel });
    inferShapes(model);
    expect(model.graph.nodes.size).toBe(2);
    expect(model.graph.outputs.map((o) => o.shape)).toEqual([
      [null, 8],
      [4, 8],
    ]);
  });
});

describe('shape arithmetic', () => {
  it('chooses between sizes and ones as exporters spell Expand: a size is never −1', () => {
    const model =
      parse(`g (float[N,1,4] x, int64[3] unused) => (float[A,B,C] y) <int64[3] minus = {-1,-1,-1}, int64[3] ones = {1,1,1}, int64 zero = {0}, int64[1] z = {0}, int64[2] tail = {-1,4}> { s = Shape(x)
 a = Gather(s, zero)\n a1 = Unsqueeze(a, z)\n t = Concat<axis=0>(a1, tail)\n q = Equal(t, minus)\n w = Where(q, ones, t)\n y = Expand(x, w) }`);
    const { ints } = inferShapes(model);
    expect(ints.get(valueOf(model, 'q'))).toEqual([0, 1, 0]);
    expect(ints.get(valueOf(model, 'w'))).toEqual(['N', 1, 4]);
    expect(valueOf(model, 'y').shape).toEqual(['N', 1, 4]);
  });
  it('does not tell two different sizes apart', () => {
    const model = parse(
      'g (float[N,M] x) => (bool[2] q) <int64[2] i = {1,0}> { s = Shape(x)\n p = Gather(s, i)\n q = Equal(s, p) }',
    );
    expect(inferShapes(model).ints.get(model.graph.outputs[0]!)).toEqual([null, null]);
  });
});
