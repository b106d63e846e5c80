/** Gradients of fake quantization against what the papers say they are. */
import { describe, expect, it } from 'vitest';
import { gradients } from '../../../src/autodiff/gradients.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { clipAndRound, fakeQuantize } from '../../../src/qat/integers.js';
import { addSteps, type Steps } from '../../../src/qat/step-size.js';
import { GraphBuilder } from '../../../src/rewrite/builder.js';
import { openModel } from '../../../src/runtime/open.js';
import type { QuantParams } from '../../../src/scheme/types.js';

const X = [-3, -0.8, -0.26, 0, 0.3, 0.74, 1.2, 5];
const C = [1, 2, -1, 3, 0.5, -2, 4, 1.5];
const S = 0.5;

interface Asked {
  readonly scheme: QuantParams['scheme'];
  readonly zero: number;
  readonly relative?: boolean;
  readonly learnZero?: boolean;
  readonly pact?: boolean;
}
/** Gradients of Σ c·y by x and by what is learned. */
async function found(o: Asked): Promise<{ y: number[]; byX: number[]; bySize: number; byZero: number }> {
  const model = parseModel('<ir_version: 10, opset_import: ["" : 18]> g (float[8] x) => (y) { y = Identity (x) }');
  const { graph } = model;
  const b = new GraphBuilder(model);
  const params: QuantParams = { scheme: o.scheme, scale: Float32Array.of(S), zeroPoint: Int32Array.of(o.zero) };
  const steps: Steps = addSteps(b, {
    name: 'x',
    params,
    dims: [8],
    elements: 8,
    learnSize: true,
    learnZero: o.learnZero === true,
    relative: o.relative !== false,
  });
  const x = graph.inputs[0]!; // it has one
  const made = o.pact ? clipAndRound(b, x, steps, 'x') : { value: fakeQuantize(b, x, steps, 'x'), fixed: [] };
  const loss = b.op('ReduceSum', [b.op('Mul', [made.value, b.constant(Tensor.f32(C))])], {
    attrs: { keepdims: 0 },
    outputs: ['loss'],
  });
  graph.addOutput(loss);
  const learned = Object.values(steps.learns);
  const backward = gradients(model, {
    loss: 'loss',
    wrt: ['x', ...learned],
    outputs: [made.value.name],
    rounding: 'straight-through',
    constants: made.fixed,
  });
  const session = await openModel(backward);
  try {
    const results = await session.run({ x: { dtype: 'float32', dims: [8], data: Float32Array.from(X) } });
    const values = (name: string): number[] => Array.from(results[name]?.data ?? [], Number);
    return {
      y: values(made.value.name),
      byX: values('gradient of x'),
      bySize: values(`gradient of ${steps.learns.size ?? ''}`)[0] ?? NaN,
      byZero: values(`gradient of ${steps.learns.zero ?? ''}`)[0] ?? NaN,
    };
  } finally {
    await session.close();
  }
}
const four = { dtype: 'int8', bits: 4, symmetric: true, granularity: { kind: 'tensor' } } as const;
const byte = { dtype: 'uint8', bits: 3, symmetric: false, granularity: { kind: 'tensor' } } as const;

/** Of code − ratio within the range, and of the bound beyond it. */
function expected(low: number, high: number): { y: number[]; byX: number[]; bySize: number; beyond: number } {
  const even = (v: number): number => (Math.abs(v % 1) === 0.5 ? 2 * Math.round(v / 2) : Math.round(v));
  const ratio = X.map((v) => v / S);
  const inside = ratio.map((r) => r >= low && r <= high);
  const codes = ratio.map((r) => even(Math.min(high, Math.max(low, r))));
  const sum = (f: (i: number) => number): number => X.reduce((n, _, i) => n + f(i), 0);
  return {
    y: codes.map((q) => q * S),
    byX: C.map((c, i) => (inside[i] ? c : 0)),
    bySize: sum((i) => C[i]! * (inside[i] ? codes[i]! - ratio[i]! : codes[i]!)),
    beyond: sum((i) => (inside[i] ? 0 : C[i]!)),
  };
}
const close = (actual: readonly number[], wanted: readonly number[]): void => {
  expect(actual).toHaveLength(wanted.length);
  actual.forEach((v, i) => expect(v).toBeCloseTo(wanted[i]!, 4));
};

describe('learned step sizes', () => {
  it.each([
    ['signed', four, 0, [-8, 7]],
    ['with a zero point', byte, 2, [-2, 5]],
  ] as const)('%s: LSQ', async (_, scheme, zero, [low, high]) => {
    const want = expected(low, high);
    const got = await found({ scheme, zero });
    close(got.y, want.y);
    close(got.byX, want.byX);
    expect(got.bySize).toBeCloseTo(S * want.bySize, 4); // by t, where the size is S · exp(t)
  });
  it('moves by the gradient over √(elements · highest code), where steps are as large as gradients', async () => {
    const got = await found({ scheme: four, zero: 0, relative: false });
    const rate = 1 / Math.sqrt(8 * 7);
    // A step of rate ρ takes t to −ρ·g and the size to S + S · factor · t: S · factor · g is the scaled gradient.
    const factor = Math.sqrt(rate) / S;
    expect(S * factor * got.bySize).toBeCloseTo(rate * expected(-8, 7).bySize, 4);
  });
  it('LSQ+: zero points by what is beyond the range', async () => {
    const want = expected(-2, 5);
    const got = await found({ scheme: byte, zero: 2, learnZero: true });
    close(got.y, want.y);
    close(got.byX, want.byX);
    expect(got.bySize).toBeCloseTo(S * want.bySize, 4);
    expect(got.byZero).toBeCloseTo(-S * want.beyond, 4);
  });
  it('PACT: bounds by what is beyond them alone', async () => {
    const want = expected(-2, 5);
    const got = await found({ scheme: byte, zero: 2, pact: true });
    close(got.y, want.y);
    close(got.byX, want.byX);
    const beyond = X.reduce((n, v, i) => n + C[i]! * (v / S > 5 ? 5 : v / S < -2 ? -2 : 0), 0);
    expect(got.bySize).toBeCloseTo(S * beyond, 4);
  });
});

it('takes values as constants where it is told to', async () => {
  const model = parseModel(
    '<ir_version: 10, opset_import: ["" : 18]> g (float[2] x) => (loss) { a = Mul (x, x) b = Mul (a, x) loss = ReduceSum <keepdims = 0> (b) }',
  );
  const session = await openModel(gradients(model, { loss: 'loss', wrt: ['x'], constants: ['a'] }));
  const { 'gradient of x': made } = await session.run({
    x: { dtype: 'float32', dims: [2], data: Float32Array.of(2, -3) },
  });
  await session.close();
  expect(Array.from(made?.data ?? [], Number)).toEqual([4, 9]); // of a · x, not 3 · x²
  expect(() => gradients(model, { loss: 'loss', wrt: ['x'], constants: ['none'] })).toThrow(
    expect.objectContaining({ code: 'GRADIENT_UNKNOWN_NAME' }),
  );
});
