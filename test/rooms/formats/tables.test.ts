/** Embedding tables in the static formats, and what dynamic stores once. */
import { describe, expect, it } from 'vitest';
import { verify } from '../../../src/ir/verify.js';
import type { Model } from '../../../src/ir/model.js';
import { outputsOf, quantizeText, worstSqnr, type Quantized } from '../../conformance/quantized.js';

const HEAD = '<ir_version: 9, opset_import: ["" : 17]>\n';
const bytes = (m: Model): number => [...m.graph.initializers].reduce((n, v) => n + v.data!.byteLength, 0);
const sqnr = async (q: Quantized): Promise<number> =>
  worstSqnr(await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all'));
const embed = (more = '', wide = 'y = MatMul(e, w)'): string =>
  `${HEAD}g (int64[N,5] ids) => (float[N,5,8] y) <float[400,16] table, float[16,8] w${more}> { [look] e = ` +
  `Gather(table, ids) ${wide} }`;

describe.each(['qdq', 'qoperator'])('%s', (format) => {
  it('looks rows up in a table of int8', async () => {
    const q = await quantizeText(embed(), format);
    expect(verify(q.model)).toEqual([]);
    expect(await sqnr(q)).toBeGreaterThan(33);
    expect(bytes(q.model)).toBeLessThan(400 * 16 + 400 * 4 + 400);
    expect([...q.prepared.planned.floatNodes].find(([n]) => n.name === 'look')?.[1]).toBe(
      'looks rows up in a table of int8',
    );
    const gathers = [...q.model.graph.nodes].filter((n) => n.op === 'Gather');
    expect(gathers.map((n) => n.inputs[0]?.dtype).sort(), 'the table itself never becomes float').toEqual([
      'float32',
      'int8',
    ]);
  });
  it('has one scale for all with granularity: tensor, and DequantizeLinear behind the look-up', async () => {
    const q = await quantizeText(embed(), format, 'weights: { granularity: tensor }');
    const look = [...q.model.graph.nodes].find((n) => n.op === 'Gather')!;
    expect([...look.outputs[0]!.uses].map((u) => u.node.op)).toEqual(['DequantizeLinear']);
    expect(await sqnr(q)).toBeGreaterThan(30);
  });
  it.each(['embeddings: false', 'exclude: [ look ]', 'include: [ { opType: MatMul } ]'])(
    'leaves tables alone with %s',
    async (settings) => {
      const q = await quantizeText(embed(), format, settings);
      expect([...q.model.graph.nodes].filter((n) => n.op === 'Gather').map((n) => n.inputs[0]?.dtype)).toEqual([
        'float32',
      ]);
    },
  );
  it('stores a tied table once', async () => {
    const text = embed(
      ', int64[2] to = {-1, 16}',
      'r = Reshape(e, to) h = Relu(r) z = Gemm<transB=1>(h, table)',
    ).replace('float[N,5,8] y', 'float[M,400] z');
    const q = await quantizeText(text, format);
    expect(bytes(q.model)).toBeLessThan(400 * 16 + 3 * 400 * 4 + 1500);
    expect(await sqnr(q)).toBeGreaterThan(30);
  });
  it('serves several look-ups, negative indices and codes of few bits', async () => {
    const q = await quantizeText(
      embed(', int64[1,5] last = {-1, -2, 399, 0, 1}', 'f = Gather(table, last) s = Add(e, f) y = MatMul(s, w)'),
      format,
    );
    expect(await sqnr(q)).toBeGreaterThan(33);
    const few = await quantizeText(embed(), format, 'weights: { dtype: int8, bits: 4 }');
    expect(bytes(few.model)).toBeLessThan(400 * 8 + 400 * 4 + 800);
    expect(await sqnr(few)).toBeGreaterThan(12);
  });
  it('quantizes weights of other types without touching what tables need', async () => {
    for (const dtype of ['uint8', 'int8, symmetric: false', 'int16'])
      expect(await sqnr(await quantizeText(embed(), format, `weights: { dtype: ${dtype} }`)), dtype).toBeGreaterThan(
        33,
      );
  });
});

describe('dynamic', () => {
  it.each(['uint8', 'int8, symmetric: false'])('looks up in int8 whatever other weights are: %s', async (dtype) => {
    expect(await sqnr(await quantizeText(embed(), 'dynamic', `weights: { dtype: ${dtype} }`))).toBeGreaterThan(33);
  });
  it('stores a weight once for all Gemm that want it turned the same way', async () => {
    const layers = (n: number): string =>
      Array.from({ length: n }, (_, i) => `h${i + 1} = Gemm<transB=${i === 3 ? 0 : 1}>(h${i}, w)`).join(' ');
    const q = await quantizeText(
      `${HEAD}g (float[2,64] h0) => (float[2,64] h8) <float[64,64] w> { ${layers(8)} }`,
      'dynamic',
    );
    expect(bytes(q.model)).toBeLessThan(2 * 64 * 64 + 2000);
    expect(await sqnr(q)).toBeGreaterThan(25);
  });
  it.each([0, 1])('LSTM with layout %i: the attribute that the integer cell lacks is not written', async (layout) => {
    const q = await quantizeText(
      `${HEAD}g (float[5,2,20] x) => (float[5,2,12] y) <float[1,48,20] W, float[1,48,12] R, int64[1] a = {1}, ` +
        `float[12,12] m> { [cell] s = LSTM<hidden_size=12, layout=${layout}>(x, W, R) t = Squeeze(s, a) y = ` +
        'MatMul(t, m) }',
      'dynamic',
    );
    const cell = [...q.model.graph.nodes].find((n) => n.op.endsWith('LSTM'))!;
    if (layout)
      expect(cell.op).toBe('LSTM'); // onnxruntime has no batch-first kernel of either kind
    else {
      expect([cell.op, cell.attrs.has('layout')]).toEqual(['DynamicQuantizeLSTM', false]);
      expect(await sqnr(q)).toBeGreaterThan(30);
    }
  });
});
