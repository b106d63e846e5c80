/** Refusals name what stands against quantization in this model. */
import { expect, it } from 'vitest';
import { quantizeText } from '../../conformance/quantized.js';

const HEAD = '<ir_version: 9, opset_import: ["" : 17]>\n';
const products = (type: string): string =>
  `${HEAD}g (${type}[2,32] x) => (${type}[2,32] y) <${type}[32,32] w> { h = MatMul(x, w) y = MatMul(h, w) }`;
const left = `${HEAD}g (float[32,4] x) => (float[32,4] y) <float[32,32] w> { [one] y = MatMul(w, x) }`;
const gru =
  `${HEAD}g (float[5,2,20] x) => (float[5,1,2,12] y) <float[1,36,20] W, float[1,36,12] R> { [cell] y = ` +
  'GRU<hidden_size=12>(x, W, R) }';

it.each([
  ['float16 of float16', 'float16', products('float16'), /its 2 MatMul are float16 already/],
  ['float16 of float64', 'float16', products('double'), /its 2 MatMul compute in float64/],
  ['int8 of float16', 'qdq', products('float16'), /its 2 MatMul compute in float16/],
  ['int8 of float64', 'dynamic', products('double'), /its 2 MatMul compute in float64/],
  [
    'dynamic with the weight on the left',
    'dynamic',
    left,
    /'one': its weight is the left operand, which only formats qdq and qoperator take/,
  ],
  ['weight-only with the weight on the left', 'weight-only', left, /'one': its weight is the left operand/],
  ['a GRU alone', 'dynamic', gru, /it has 1 GRU and no convolution or matrix product; 'cell': there is no integer GRU/],
  [
    'a GRU alone, static',
    'qdq',
    gru,
    /it has 1 GRU and no convolution or matrix product; 'cell': GRU has no static integer kernel/,
  ],
])('%s', async (_name, format, text, says) => {
  await expect(quantizeText(text, format)).rejects.toMatchObject({
    code: 'QUANTIZE_NOTHING',
    message: expect.stringMatching(says) as string,
  });
});
it('points a GRU to the format that makes it smaller', async () => {
  await expect(quantizeText(gru, 'dynamic')).rejects.toMatchObject({
    hint: expect.stringContaining('format: coded') as string,
  });
});
