/** Every rule against differences of the operator itself, and every operator's answer. */
import { describe, expect, it } from 'vitest';
import { ops } from '../../../src/ops/index.js';
import { elementwiseCases } from './cases/elementwise.js';
import { moveCases } from './cases/moves.js';
import { productCases } from './cases/products.js';
import { TOLERANCE, worstError, type RuleCase } from './check.js';

const CASES: Readonly<Record<string, readonly RuleCase[]>> = { ...elementwiseCases, ...moveCases, ...productCases };

describe.each(Object.entries(CASES))('%s', (_, cases) => {
  it.each(cases.map((c) => [`${c.graph} ${JSON.stringify(c.options ?? {})} ${c.opset ?? ''}`, c] as const))(
    '%s',
    async (_graph, c) => {
      expect(await worstError(c)).toBeLessThan(TOLERANCE[c.type ?? 'double']);
    },
  );
});

/** Float operators without a rule: what holds graphs, what others take the place of, and what only optimised models have. */
const UNSUPPORTED = (
  'Attention Attention FusedConv GRU GroupQueryAttention If LRN LSTM Loop MoE MultiHeadAttention RNN RotaryEmbedding RotaryEmbedding Scan ' +
  'Upsample'
).split(' ');
/** Held against PyTorch or arithmetic elsewhere: scales of codes, and the older name of a rule above. */
const ELSEWHERE = ['DequantizeLinear', 'Scatter'];

it('every float operator has an answer, and each rule at least three cases', () => {
  const answered = ops.filter((o) => !(o.quant.role === 'float' && o.quant.because === 'already quantized'));
  expect(
    answered
      .filter((o) => o.gradient === 'unsupported')
      .map((o) => o.op)
      .sort(),
  ).toEqual(UNSUPPORTED);
  const withRule = answered.filter(
    ({ gradient }) => typeof gradient === 'function' || (typeof gradient === 'object' && !gradient.estimate),
  );
  const few = withRule.filter((o) => (CASES[o.op]?.length ?? 0) < 3).map((o) => o.op);
  expect(few.filter((op) => !ELSEWHERE.includes(op))).toEqual([]);
});
