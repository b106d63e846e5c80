/** Quantized operators, of the standard and of onnxruntime. */
import { at, here, type FacetCase } from './case.js';

const XW = 'float s = {0.1}, uint8 z = {3}';
const ADD = '(uint8[N,3,4] x, uint8[3,1] k) => (y)';

export const quantizedCases: readonly FacetCase[] = [
  here(
    '(float[N,3] x) => (q, y) <float s = {0.1}, uint8 z = {3}> { q = QuantizeLinear(x, s, z)  y = ' +
      'DequantizeLinear(q, s, z) }',
  ),
  here(
    '(float[N,3] x) => (q, y) <float[3] s = {0.1,0.2,0.3}, int8[3] z = {0,0,0}> { q = QuantizeLinear ' +
      '<axis = 1> (x, s, z)  y = DequantizeLinear <axis = 1> (q, s, z) }',
  ),
  here(
    '(float[N,3] x) => (q, p) <float s = {0.1}> { q = QuantizeLinear(x, s)  p = QuantizeLinear ' +
      '<output_dtype = 5> (x, s) }',
  ),
  here('(float[N,3] x) => (q, y, d) { q, y, d = DynamicQuantizeLinear(x) }'),
  here(
    `(uint8[N,4,7,8] x) => (y) <${XW}, int8[6,2,3,2] w, float ws = {0.02}, int8 wz = {0}> ` +
      '{ y = QLinearConv <group = 2, strides = [2,1], pads = [1,0,2,1]> (x, s, z, w, ws, wz, s, z) }',
  ),
  here(
    `(uint8[N,7,8,4] x) => (y) <${XW}, int8[6,4,3,2] w, float ws = {0.02}, int8 wz = {0}> ` +
      '{ y = com.microsoft.QLinearConv <channels_last = 1, strides = [2,1], pads = [1,0,2,1]> (x, s, z, w, ' +
      'ws, wz, s, z) }',
  ),
  here(
    `(uint8[N,4,7,8] x) => (y) <${XW}, int8[6,4,3,2] w, float ws = {0.02}, int8 wz = {0}> { y = ` +
      'com.microsoft.QLinearConv(x, s, z, w, ws, wz, s, z) }',
  ),
  here('(uint8[N,4,7,8] x) => (y) <uint8[6,4,3,2] w, uint8 z = {3}> { y = ConvInteger <dilations = [2,1]> (x, w, z) }'),
  here('(uint8[N,5,3] x) => (y) <int8[3,4] w, uint8 z = {3}> { y = MatMulInteger(x, w, z) }'),
  here(
    `(uint8[N,5,3] x) => (y) <${XW}, int8[3,4] w, float ws = {0.02}, int8 wz = {0}> { y = ` +
      'QLinearMatMul(x, s, z, w, ws, wz, s, z) }',
  ),
  here(
    '(int8[N,5,3] x) => (y) <float s = {0.1}, int8 z = {3}, int8[3,4] w> { y = QLinearMatMul(x, s, z, w, s, z, s, z) }',
  ),
  here(
    `(uint8[N,5,3] x) => (y) <${XW}, int8[3,4] w, float ws = {0.02}, int8 wz = {0}> { y = ` +
      'com.microsoft.MatMulIntegerToFloat(x, w, s, ws, z, wz) }',
  ),
  here(
    '(float[N,5,3] x) => (y) <int8[3,4] w, float ws = {0.02}> { y = com.microsoft.DynamicQuantizeMatMul(x, w, ws) }',
  ),
  here(
    `(uint8[N,3] x) => (y, f) <${XW}, int8[4,3] w, float ws = {0.02}, int8 wz = {0}, int32[4] c = {1,2,3,4}> ` +
      '{ y = com.microsoft.QGemm <transB = 1> (x, s, z, w, ws, wz, c, s, z)  f = com.microsoft.QGemm ' +
      '<transB = 1> (x, s, z, w, ws, wz, c) }',
  ),
  here(
    `(uint8[3,N] x) => (y) <${XW}, int8[3,4] w, float ws = {0.02}, int8 wz = {0}> { y = ` +
      'com.microsoft.QGemm <transA = 1> (x, s, z, w, ws, wz, , s, z) }',
  ),
  here(
    '(float[N,5,64] x) => (y) <uint8[3,2,16] w, float[3,2] s> { y = com.microsoft.MatMulNBits <K = 64, N ' +
      '= 3, bits = 4, block_size = 32> (x, w, s) }',
  ),
  here(
    '(int64[N,5] i) => (y) <uint8[7,16] w, float[7,2] s> { y = com.microsoft.GatherBlockQuantized ' +
      '<gather_axis = 0, quantize_axis = 1, block_size = 16, bits = 4> (w, i, s) }',
  ),
  here(`${ADD} <${XW}> { y = com.microsoft.QLinearAdd(x, s, z, k, s, z, s, z) }`),
  here(`${ADD} <${XW}> { y = com.microsoft.QLinearMul(x, s, z, k, s, z, s, z) }`),
  here(`(uint8[N,3] x) => (y) <${XW}> { y = com.microsoft.QLinearSigmoid(x, s, z, s, z) }`),
  here(`(uint8[N,3] x) => (y) <${XW}> { y = com.microsoft.QLinearLeakyRelu <alpha = 0.1> (x, s, z, s, z) }`),
  here(`(uint8[N,3] x) => (y) <${XW}> { y = com.microsoft.QLinearSoftmax <axis = -1, opset = 13> (x, s, z, s, z) }`),
  here(`(uint8[N,3,5,5] x) => (y) <${XW}> { y = com.microsoft.QLinearGlobalAveragePool(x, s, z, s, z) }`),
  here(
    `(uint8[N,5,5,3] x) => (y) <${XW}> { y = com.microsoft.QLinearGlobalAveragePool <channels_last = 1> ` +
      '(x, s, z, s, z) }',
  ),
  at(10)('(uint8[N,3] x) => (y) <float s = {0.1}, uint8 z = {3}> { y = DequantizeLinear(x, s, z) }'),
];
