/** How operators multiply their weights, against what onnxruntime does when a slice of a weight or of the data changes. */
import { describe, expect, it } from 'vitest';
import type { FeedTensor } from '../../../src/ir/feed.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { linearViews, ops } from '../../../src/ops/index.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { feedOf, randomFeed } from '../../../src/pipeline/feeds.js';
import { openModel } from '../../../src/runtime/open.js';
import { here } from './cases/case.js';
import { modelOf } from './run.js';

const CONV = '(float[2,4,5,5] x) => (y)';
const CELL = (op: string, gates: number): string =>
  `(float[1,2,3] x) => (y) <float[1,${4 * gates},3] w, float[1,${4 * gates},4] r, float[1,2,4] h> ` +
  `{ y = ${op} <hidden_size = 4> (x, w, r, , , h) }`;
/** Each graph has one node, with constant weights. Operators whose weights are no matrices have none. */
const CASES: readonly string[] = [
  `${CONV} <float[6,4,3,3] w, float[6] b> { y = Conv(x, w, b) }`,
  `${CONV} <float[6,2,3,3] w, float[6] b> { y = Conv <group = 2> (x, w, b) }`,
  `${CONV} <float[4,1,3,3] w> { y = Conv <group = 4> (x, w) }`,
  `${CONV} <float[4,3,2,2] w, float[3] b> { y = ConvTranspose(x, w, b) }`,
  `${CONV} <float[4,3,2,2] w, float[6] b> { y = ConvTranspose <group = 2> (x, w, b) }`,
  '(float[2,3] x) => (y) <float[3,4] w, float[4] b> { y = Gemm(x, w, b) }',
  '(float[2,3] x) => (y) <float[4,3] w, float[4] b> { y = Gemm <transB = 1, alpha = 0.5, beta = 2.0> (x, w, b) }',
  '(float[3,2] x) => (y) <float[3,4] w, float[4] b> { y = Gemm <transA = 1, alpha = 3.0> (x, w, b) }',
  '(float[5,2,3] x) => (y) <float[3,4] w> { y = MatMul(x, w) }',
  '(float[5,2,3] x) => (y) <float[5,3,4] w> { y = MatMul(x, w) }',
  '(float[5,2,3] x) => (y) <float[4,2] w> { y = MatMul(w, x) }',
  '(float[5,2,3] x) => (y) <float[3,4] w> { y = Einsum <equation = "bsi,io->bso"> (x, w) }',
  '(float[5,3,2] x) => (y) <float[4,3] w> { y = Einsum <equation = "oi,bis->bos"> (w, x) }',
  '(int64[2,3] x) => (y) <float[5,4] w> { y = Gather(w, x) }',
  CELL('LSTM', 4),
  CELL('GRU', 3),
  CELL('RNN', 1),
  '(float[2,3,4] x) => (y) <float[3] w, float[3] b, float[3] m, float[3] v = {1,2,3}> { y = BatchNormalization(x, w, b, m, v) }',
  '(float[2,3,4] x) => (y) <float[3] w, float[3] b> { y = InstanceNormalization(x, w, b) }',
  '(float[2,3,4] x) => (y) <float[4] w, float[4] b> { y = LayerNormalization(x, w, b) }',
  '(float[2,3,4] x) => (y) <float[4] w> { y = RMSNormalization(x, w) }',
  '(float[2,3,4] x) => (y) <float[4] w> { y = SimplifiedLayerNormalization(x, w) }',
];

/** The tensor with the elements changed whose index along an axis is among `at`. */
function changed(t: FeedTensor, axis: number, at: ReadonlySet<number>, f: (x: number) => number): FeedTensor {
  const from = axis < 0 ? axis + t.dims.length : axis;
  const inner = t.dims.slice(from + 1).reduce((n, d) => n * d, 1);
  const data = t.data as Float32Array; // weights and data are floats
  return { ...t, data: data.map((x, i) => (at.has(Math.floor(i / inner) % t.dims[from]!) ? f(x) : x)) };
}
const size = (t: FeedTensor, axis: number): number => t.dims.at(axis)!; // an axis of the tensor
/** Channels of an axis in which two tensors differ. */
function difference(a: FeedTensor, b: FeedTensor, axis: number): number[] {
  const near = (x: number, y: number): boolean => Math.abs(x - y) <= 1e-5 * (1 + Math.abs(x));
  return [...Array(size(a, axis)).keys()].filter((c) => {
    const only = changed(b, axis, new Set([c]), () => NaN).data as Float32Array; // as above
    return !only.every((mark, i) => !Number.isNaN(mark) || near(Number(a.data[i]), Number(b.data[i])));
  });
}
const close = (a: FeedTensor, b: FeedTensor): void => expect(difference(a, b, -1)).toEqual([]);

it('every operator that multiplies weights has a case', () => {
  const asked = ops.filter((o) => o.linear !== 'no' && o.domain === '').map((o) => o.op);
  expect(asked.filter((op) => !CASES.some((graph) => graph.includes(` ${op}`)))).toEqual([]);
});

describe.each(CASES)('%s', (graph) => {
  it('multiplies as its views say', async () => {
    const c = here(graph, { opset: graph.includes('RMS') ? 23 : 18 });
    // Constants become inputs, so that one session serves for all of their values.
    const [known, model] = [modelOf(c), modelOf(c)];
    inferShapes(known);
    const constants = new Map<string, FeedTensor>();
    for (const v of [...model.graph.initializers]) {
      constants.set(v.name, feedOf(v.data!)); // an initializer has data
      v.shape = v.data!.dims; // as above
      v.dtype = v.data!.dtype; // as above
      v.data = undefined;
      model.graph.initializers.delete(v);
      model.graph.addInput(v);
    }
    const [node] = [...known.graph.nodes];
    const feed = {
      ...randomFeed(
        known.graph.inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
        11,
      ),
      ...Object.fromEntries(constants),
    };
    const session = await openModel(model, { optimization: 'disabled' });
    const run = async (more: Record<string, FeedTensor> = {}): Promise<FeedTensor> =>
      (await session.run({ ...feed, ...more })).y!; // each graph gives y
    try {
      const y = await run();
      const views = linearViews(node!); // there is one node
      expect(views.length).toBe(['LSTM', 'GRU', 'RNN'].includes(node!.op) ? 2 : 1);
      for (const view of views) {
        const { kind, resultAxis, dataAxis, outputAxis, inputAxis, groups } = view;
        const name = node!.inputs[view.weight]!.name;
        const data = node!.inputs[view.data]!.name;
        const weight = feed[name]!;
        expect(groups).toBe(node!.int('group', 1));
        if (kind === 'product' || kind === 'cell') expect(view.batchAxes).toBe(weight.dims.length - 2);

        // Each output channel of the weight makes its channels of the result, and no others.
        const outputs = size(weight, outputAxis);
        for (const o of [0, outputs - 1]) {
          const made = difference(
            y,
            await run({ [name]: changed(weight, outputAxis, new Set([o]), (x) => x + 1) }),
            resultAxis,
          );
          if (kind === 'transposed') expect(made).toEqual([...Array(groups).keys()].map((g) => o + g * outputs));
          else expect(made).toEqual([kind === 'cell' ? o % size(y, resultAxis) : o]);
        }

        // Without an input channel of the weight the result is that without the channel of the data.
        const inputs = size(weight, inputAxis);
        const gone = async (i: number): Promise<FeedTensor> =>
          await run({ [name]: changed(weight, inputAxis, new Set([i]), () => 0) });
        if (kind === 'lookup') {
          const row = await gone(1);
          const width = size(weight, outputAxis);
          for (const [at, index] of [...feed[data]!.data].entries())
            for (let k = 0; k < width; k++)
              expect(row.data[at * width + k]).toBe(Number(index) === 1 ? 0 : y.data[at * width + k]);
        } else if (kind !== 'scale' && !(kind === 'cell' && node!.op === 'GRU' && view.weight === 2)) {
          for (const i of [0, inputs - 1]) {
            // Groups of a convolution have the same channels of the weight.
            const own = kind === 'window' ? [...Array(groups).keys()].map((g) => i + g * inputs) : [i];
            close(await gone(i), await run({ [data]: changed(feed[data]!, dataAxis, new Set(own), () => 0) }));
          }
        }

        // The bias is added, times beta, and the product counts alpha times.
        const bias = view.bias === undefined ? undefined : node!.inputs[view.bias]?.name;
        if (bias && kind !== 'cell') {
          const more = await run({ [bias]: changed(feed[bias]!, 0, new Set([1]), (x) => x + 1) });
          expect(difference(y, more, resultAxis)).toEqual([1]);
          close(
            changed(y, resultAxis, new Set([1]), (x) => x + view.beta),
            more,
          );
        }
        if (node!.op === 'Gemm') {
          const [x, w, b] = [feed[data]!, weight, feed[bias!]!].map((t) =>
            new Tensor('float32', t.dims, bytes(t)).f32(),
          );
          const rows = size(y, 0);
          const at = (t: FeedTensor, axis: number, along: number, across: number): number =>
            (axis + 2) % 2 === 1 ? across * t.dims[1]! + along : along * t.dims[1]! + across;
          for (let r = 0; r < rows; r++)
            for (let o = 0; o < outputs; o++) {
              let sum = 0;
              for (let i = 0; i < inputs; i++)
                sum += x![at(feed[data]!, dataAxis, i, r)]! * w![at(weight, inputAxis, i, o)]!;
              expect(y.data[r * outputs + o]).toBeCloseTo(view.alpha * sum + view.beta * b![o]!, 5);
            }
        }
      }
    } finally {
      await session.close();
    }
  });
});
function bytes(t: FeedTensor): Uint8Array {
  const data = t.data as Float32Array; // as above
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
