import { expect, it } from 'vitest';
import { stems } from '../../../src/runtime/inspect-optimized.js';

it.each([
  ['conv1_quant', ['conv1_quant', 'conv1']],
  ['fused a/b_token_12_nchwc', ['a/b_token_12_nchwc', 'a/b_token_12', 'a/b']],
  ['x_QuantizeLinear_Output_3', ['x_QuantizeLinear_Output_3', 'x_QuantizeLinear_Output', 'x']],
  [
    'm/Conv_output_0/MatMulAddFusion_2/',
    ['m/Conv_output_0/MatMulAddFusion_2/', 'm/Conv_output_0', 'm/Conv_output', 'm/Conv'],
  ],
  ['/GeluFusion', ['/GeluFusion']],
  ['/a/Gelu.Fusion', ['/a/Gelu.Fusion']],
  ['_1', ['_1']],
])('%s', (name, expected) => expect(stems(name)).toEqual(expected));

it('takes a bounded number of suffixes off', () => {
  expect(stems(`a${'_1'.repeat(100_000)}`)).toHaveLength(64);
  expect(stems(`/${'Fusion'.repeat(100_000)}.`)).toHaveLength(1);
});
