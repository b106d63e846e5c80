import { describe, expect, it } from 'vitest';
import type { Tensor } from '../../../src/ir/tensor.js';
import { REFERENCE_OPERATORS } from '../../../src/scheme/reference/index.js';
import type { ReferenceAttributes } from '../../../src/scheme/reference/operator.js';
import { readGolden, tensorOf, type GoldenTensor } from './golden.js';

interface Case {
  name: string;
  op: keyof typeof REFERENCE_OPERATORS;
  opset: number;
  attributes: ReferenceAttributes;
  inputs: (GoldenTensor | null)[];
  outputs: GoldenTensor[];
}
const { cases } = readGolden<{ cases: Case[] }>('backend-quant.json');
const runtime = readGolden<{ cases: Case[] }>('ort-operators.json').cases;

/** Bytes, except that a NaN equals a NaN: ONNX leaves its sign and payload open. */
function comparable(t: Tensor): unknown {
  const bytes = Buffer.from(t.bytes()).toString('hex');
  const nan = t.dtype.startsWith('float') || t.dtype === 'bfloat16' ? [...t.f64()].some(Number.isNaN) : false;
  return { dtype: t.dtype, dims: t.dims, content: nan ? [...t.f64()] : bytes };
}

const run = (c: Case): unknown[] =>
  REFERENCE_OPERATORS[c.op](
    c.inputs.map((t) => (t ? tensorOf(t) : undefined)),
    c.attributes,
  ).map(comparable);
const wanted = (c: Case): unknown[] => c.outputs.map(tensorOf).map(comparable);

describe('reference operators equal the ONNX backend tests, bit for bit', () => {
  it('has the cases', () => {
    expect(cases.length).toBeGreaterThan(200);
  });
  it.each(cases.map((c) => [c.name, c] as const))('%s', (_, c) => {
    expect(run(c)).toEqual(wanted(c));
  });
});

describe("reference operators equal onnxruntime's CPU kernels, bit for bit", () => {
  it.each(runtime.map((c) => [c.name, c] as const))('%s', (_, c) => {
    expect(run(c)).toEqual(wanted(c));
  });
});
