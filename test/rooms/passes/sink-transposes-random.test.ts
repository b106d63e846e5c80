/**
 * Random graphs of ops whose axes may lie in any order, with Transposes between them: outputs stay, and no Transpose is
 * added.
 */
import { describe, expect, it } from 'vitest';
import { createRng, type Rng } from '../../../src/base/rng.js';
import { cloneModel } from '../../../src/ir/clone.js';
import type { Feed } from '../../../src/ir/feed.js';
import { Graph, Value } from '../../../src/ir/graph.js';
import { createModel, type Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { printModel } from '../../../src/ir/text/print.js';
import { verify } from '../../../src/ir/verify.js';
import { keepsOrder } from '../../../src/ops/permutation.js';
import { sinkTransposes } from '../../../src/passes/sink-transposes.js';
import { randomFeed } from '../../../src/pipeline/feeds.js';
import { optimizeGraph } from '../../../src/standalone/optimize.js';
import { difference, TOLERANCE } from '../../../src/standalone/same-outputs.js';
import { GraphBuilder } from '../../../src/rewrite/builder.js';
import { permutationOf } from '../../../src/rewrite/facts.js';
import { evaluateModel, openModel } from '../../../src/runtime/open.js';

const SEEDS = Number(process.env['QUANTBENCH_RANDOM_LAYOUTS'] ?? 120);
const oneOf = <T>(rng: Rng, list: readonly T[]): T => list[rng.int(list.length)]!; // lists here are not empty

/**
 * Without `quantized`, no last bit of a pass that is close decides about a code. Up to 24 steps over tensors of four
 * axes, most of them channels last, as converters write them around Conv and pooling.
 */
function randomLayouts(seed: number, quantized: boolean): Model {
  const rng = createRng(seed, 'random-layouts');
  const graph = new Graph();
  const model = createModel(graph, 17, 8);
  const b = new GraphBuilder(model);
  const pool: Value[] = [];
  for (const shape of [
    [2, 4, 5, 3],
    [1, 4, 4, 4],
  ]) {
    const v = new Value(b.freeName('x'));
    v.dtype = 'float32';
    v.shape = shape;
    pool.push(graph.addInput(v));
  }
  const normal = (dims: readonly number[]): Value =>
    b.constant(
      Tensor.f32(
        Float32Array.from({ length: dims.reduce((n, d) => n * d, 1) }, () => Math.fround(rng.normal() * 0.5)),
        dims,
      ),
    );
  const list = (values: readonly number[]): Value => b.constant(Tensor.i64(values));
  const sizes = (v: Value): number[] => (v.shape ?? []).map(Number);
  const like = (v: Value): Value[] => pool.filter((o) => o.shape?.join() === v.shape?.join());
  const transpose = (v: Value, perm: readonly number[]): Value => b.op('Transpose', [v], { attrs: { perm } });
  const axis = (v: Value): number => rng.int(v.shape?.length ?? 1);
  const steps: readonly ((x: Value) => Value)[] = [
    (x) => b.op(oneOf(rng, ['Relu', 'Sigmoid', 'Neg', 'LeakyRelu']), [x]),
    (x) => {
      const s = sizes(x);
      return b.op(
        oneOf(rng, ['Add', 'Mul', 'Sub']),
        rng.int(2) ? [x, normal(s.slice(rng.int(s.length + 1)))] : [normal(s.map((d) => (rng.int(2) ? d : 1))), x],
      );
    },
    (x) => b.op('PRelu', [x, normal(sizes(x).slice(-1))]),
    (x) => b.op(oneOf(rng, ['Add', 'Mul', 'Max']), [x, oneOf(rng, like(x))]),
    (x) =>
      b.op('Concat', [x, oneOf(rng, like(x)), ...(rng.int(3) ? [] : [normal(sizes(x))])], { attrs: { axis: axis(x) } }),
    (x) => b.op('Softmax', [x], { attrs: { axis: axis(x) - (rng.int(2) ? (x.shape?.length ?? 0) : 0) } }),
    (x) => {
      const p = sizes(x).flatMap(() => [0]);
      const a = axis(x);
      const both = [...p, ...p];
      both[a] = rng.int(3);
      both[a + p.length] = 1;
      return b.op('Pad', [x, list(both)]);
    },
    (x) => {
      const a = axis(x);
      return b.op('Slice', [
        x,
        list([rng.int(2) ? 0 : -2]),
        list([sizes(x)[a]!]),
        ...(a === 0 && rng.int(2) ? [] : [list([a])]),
      ]);
    },
    (x) =>
      b.op('Gather', [x, rng.int(2) ? list([0, 0]) : b.constant(Tensor.i64([0], []))], { attrs: { axis: axis(x) } }),
    (x) =>
      b.op(oneOf(rng, ['ReduceMean', 'ReduceMax', 'ReduceL2']), [x], {
        attrs: { axes: [axis(x)], keepdims: rng.int(2) },
      }),
    (x) => b.op('ReduceSum', [x, list([-1])], { attrs: { keepdims: rng.int(2) } }),
    (x) => b.op('Unsqueeze', [x, list([rng.int((x.shape?.length ?? 0) + 1)])]),
    (x) => {
      const at = sizes(x).indexOf(1);
      return at < 0 ? x : b.op('Squeeze', [x, list([at])]);
    },
    (x) => {
      const a = axis(x);
      return b.op('Tile', [x, list(sizes(x).map((_, i) => (i === a ? 2 : 1)))]);
    },
    (x) => b.op('Expand', [x, list(sizes(x).map((d) => (rng.int(2) ? d : 1)))]),
    (x) => {
      const a = axis(x);
      const n = sizes(x)[a]!;
      return n < 2 ? x : b.node('Split', [x, list([1, n - 1])], 2, { attrs: { axis: a } }).outputs[rng.int(2)]!;
    },
    (x) =>
      !quantized
        ? b.op('Tanh', [x])
        : b.op('DequantizeLinear', [
            b.op('QuantizeLinear', [x, b.constant(0.05), b.constant(Tensor.codes('uint8', [128], []))]),
            b.constant(0.05),
            b.constant(Tensor.codes('uint8', [128], [])),
          ]),
    (x) =>
      x.shape?.length === 4
        ? b.op('Resize', [x, null, b.constant(Tensor.f32(rng.int(2) ? [1, 2, 2, 1] : [1, 1, 2, 2]))], {
            attrs: { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
          })
        : x,
    (x) => b.op('MatMul', [x, normal([sizes(x).at(-1)!, 3])]),
    (x) => b.op('Reshape', [x, list([-1])]),
    (x) => {
      const perm = sizes(x).map((_, i) => i);
      for (let i = perm.length - 1; i > 0; i--) {
        const j = rng.int(i + 1);
        [perm[i], perm[j]] = [perm[j]!, perm[i]!];
      }
      return transpose(x, perm);
    }, // indices are inside
    ...Array.from({ length: 6 }, () => (x: Value) => {
      if (x.shape?.length !== 4) return x;
      const inner = transpose(x, [0, 3, 1, 2]);
      const y = rng.int(3)
        ? b.op('Conv', [inner, normal([3, sizes(x)[3]!, 1, 1])], { attrs: { kernel_shape: [1, 1] } })
        : b.op('MaxPool', [inner], { attrs: { kernel_shape: [1, 1] } });
      return transpose(y, [0, 2, 3, 1]);
    }),
  ];
  for (let i = 0; i < 6 + rng.int(18); i++) {
    const from = pool.slice(-2).filter((v) => (v.shape?.length ?? 0) > 1);
    if (!from.length) break;
    const x = oneOf(rng, from);
    const y = oneOf(rng, steps)(x);
    if (
      y.shape?.every((d) => typeof d === 'number' && d > 0) &&
      sizes(y).reduce((n, d) => n * d, 1) <= 4096 &&
      sizes(y).length <= 5
    )
      pool.push(y);
  }
  const made = [...new Set(pool)].filter((v) => v.producer);
  for (const v of made.filter((o) => o.uses.size === 0 || rng.int(16) === 0)) graph.addOutput(v);
  return model;
}

/**
 * Transposes, but for those that keep the order of elements behind a reshape: merge-reshapes makes one node of both.
 */
const count = (m: Model): number =>
  [...m.graph.nodes].filter((n) => {
    if (n.op !== 'Transpose') return false;
    const x = n.inputs[0];
    return !(
      ['Reshape', 'Squeeze', 'Unsqueeze'].includes(x?.producer?.op ?? '') &&
      keepsOrder(x?.shape ?? [], permutationOf(n) ?? [])
    );
  }).length;
async function run(model: Model, feed: Feed): Promise<Feed> {
  const session = await openModel(model, { optimization: 'disabled' });
  try {
    return await session.run(feed);
  } finally {
    await session.close();
  }
}
const sink = (model: Model): number => {
  const result = sinkTransposes.run({
    model,
    evaluate: evaluateModel,
    refuse: () => undefined,
    report: () => undefined,
  });
  return result.changes;
};

describe('sink-transposes', () => {
  it(`keeps the outputs of ${SEEDS} random graphs, adds no Transpose, and finds nothing the second time`, async () => {
    let [before, after] = [0, 0];
    for (let seed = 0; seed < SEEDS; seed++) {
      const model = randomLayouts(seed, true);
      if (!model.graph.outputs.length) continue;
      const original = cloneModel(model).model;
      const was = count(model);
      let changes = sink(model);
      const now = count(model);
      const text = `seed ${seed}\n${printModel(original, { maxElements: 8 })}\n${printModel(model, {
        maxElements: 8,
      })}`;
      expect(verify(model), text).toEqual([]);
      expect(now, text).toBeLessThanOrEqual(was);
      before += was;
      after += now;
      const feed = randomFeed(
        original.graph.inputs.map((v) => ({ name: v.name, dtype: v.dtype, shape: v.shape })),
        seed,
        1,
      );
      const different = difference(await run(original, feed), await run(model, feed));
      expect(different.error, `${different.output} ${text}`).toBeLessThanOrEqual(TOLERANCE);
      // another region may have come into reach
      for (let rounds = 0; changes && rounds < 8; rounds++) changes = sink(model);
      expect(changes, text).toBe(0);
    }
    expect(after / before).toBeLessThan(0.95);
  }, 120_000);

  it('agrees with the other passes on where Transposes lie: a second run of all of them changes nothing', async () => {
    for (let seed = 0; seed < SEEDS / 3; seed++) {
      const model = randomLayouts(seed, false);
      if (!model.graph.outputs.length) continue;
      const original = cloneModel(model).model;
      await optimizeGraph(model, { level: 'default' });
      const text = `seed ${seed}\n${printModel(original, { maxElements: 8 })}\n${printModel(model, {
        maxElements: 8,
      })}`;
      expect(verify(model), text).toEqual([]);
      const feed = randomFeed(
        original.graph.inputs.map((v) => ({ name: v.name, dtype: v.dtype, shape: v.shape })),
        seed,
        1,
      );
      const different = difference(await run(original, feed), await run(model, feed));
      expect(different.error, `${different.output} ${text}`).toBeLessThanOrEqual(TOLERANCE);
      expect(
        (await optimizeGraph(model, { level: 'default' }))
          .filter((t) => t.changes)
          .map((t) => `${t.pass} ${t.changes}`),
        text,
      ).toEqual([]);
    }
  }, 120_000);
});
