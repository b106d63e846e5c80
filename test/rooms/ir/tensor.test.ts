import { expect, it } from 'vitest';
import { Tensor } from '../../../src/ir/tensor.js';

it('tells of strings where numbers must stand, and of numbers where strings must, as a fault of the model', () => {
  const words = new Tensor('string', [2], ['a', 'b']);
  words.name = 'roi';
  for (const read of [() => words.f32(), () => words.f64(), () => words.ints(), () => words.bytes()])
    expect(read).toThrow(
      expect.objectContaining({ code: 'MODEL_TENSOR', message: "a string tensor 'roi' stands where numbers must" }),
    );
  expect(() => Tensor.f32([1]).strings()).toThrow(
    expect.objectContaining({ code: 'MODEL_TENSOR', message: 'a float32 tensor stands where strings must' }),
  );
});
