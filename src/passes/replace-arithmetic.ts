import { Tensor } from '../ir/tensor.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';
import { floatAttr } from '../rewrite/builder.js';

const MIN_NORMAL = 2 ** -126;
const constantOf = (m: Match): Tensor | undefined => {
  const t = m.value('k').data;
  return t?.dtype === 'float32' ? t : undefined;
};
const named = (m: Match, op: string): { name: string } => ({ name: m.node('y').name || op });

/** x² is x · x: Pow has no integer kernel, Mul has one, and multiplying is what Pow does at best. */
export const replaceSquare = rulePass({
  name: 'replace-square',
  doc: 'Replaces Pow(x, 2) by Mul(x, x).',
  numerics: 'close',
  pattern: 'y = Pow(x, k!)',
  check(m) {
    if (m.value('x').dtype !== 'float32') return 'the type is not known to be float32';
    const k = m.value('k').data;
    // The exponent may be of another type than x, which ONNX allows since opset 12.
    const exponent =
      k?.size === 1 && k.dims.length <= (m.value('x').shape?.length ?? 0)
        ? k.dtype === 'float32'
          ? k.f32()[0]
          : /^u?int\d+$/.test(k.dtype)
            ? Number(k.ints()[0])
            : undefined
        : undefined;
    return exponent === 2 || 'the exponent is not 2';
  },
  rewrite: (m, b) => b.op('Mul', [m.value('x'), m.value('x')], named(m, 'Mul')),
});

/**
 * x / k is x · (1/k), at most one bit off and exact for powers of two: Mul has an integer kernel, Div has none. Refuses
 * where 1/k is zero, infinite or denormal.
 */
export const replaceDivision = rulePass({
  name: 'replace-division',
  doc: 'Replaces a division by a constant by a multiplication.',
  numerics: 'close',
  pattern: 'y = Div(x, k!)',
  check(m) {
    if (m.value('x').isInitializer) return 'both sides are constants';
    const k = constantOf(m)?.f32();
    if (!k) return 'the constant is not float32';
    return (
      k.every((v) => Math.abs(1 / v) >= MIN_NORMAL && Number.isFinite(Math.fround(1 / v))) ||
      'it divides by zero, or by a number whose inverse float32 does not hold'
    );
  },
  rewrite(m, b) {
    const k = constantOf(m)!; // check() made sure
    return b.op(
      'Mul',
      [
        m.value('x'),
        b.constant(
          Tensor.f32(
            k.f64().map((v) => 1 / v),
            k.dims,
          ),
          m.value('k').name,
        ),
      ],
      named(m, 'Mul'),
    );
  },
});

/** x − k is x + (−k), bit for bit: Add has an integer kernel, Sub has none. */
export const replaceSubtraction = rulePass({
  name: 'replace-subtraction',
  doc: 'Replaces the subtraction of a constant by an addition.',
  numerics: 'exact',
  pattern: 'y = Sub(x, k!)',
  check: (m) =>
    m.value('x').isInitializer
      ? 'both sides are constants'
      : constantOf(m) !== undefined || 'the constant is not float32',
  rewrite(m, b) {
    const k = constantOf(m)!; // check() made sure
    return b.op(
      'Add',
      [
        m.value('x'),
        b.constant(
          Tensor.f32(
            k.f32().map((v) => -v),
            k.dims,
          ),
          m.value('k').name,
        ),
      ],
      named(m, 'Add'),
    );
  },
});

/** PRelu whose slopes are all equal is LeakyRelu, which has an integer kernel. */
export const replacePrelu = rulePass({
  name: 'replace-prelu',
  doc: 'Replaces PRelu with one slope by LeakyRelu.',
  numerics: 'exact',
  pattern: 'y = PRelu(x, k!)',
  check(m) {
    const slopes = constantOf(m)?.f32();
    if (!slopes?.length) return 'the slopes are not float32';
    return slopes.every((v) => v === slopes[0]) || 'the slopes differ';
  },
  rewrite: (m, b) =>
    b.op('LeakyRelu', [m.value('x')], {
      attrs: { alpha: floatAttr(constantOf(m)!.f32()[0]!) },
      ...named(m, 'LeakyRelu'),
    }), // check() made sure
});
