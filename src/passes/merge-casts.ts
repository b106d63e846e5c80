import { dtypeFromCode } from '../ir/dtype.js';
import { rulePass } from '../rewrite/pass.js';
import { isLossless } from './lossless.js';

/**
 * Cast(Cast(x, b), c) = Cast(x, c) where b holds every value of x. Refuses a float between or before an integer result:
 * what becomes of values out of range depends on the type they come from.
 */
export const mergeCasts = rulePass({
  name: 'merge-casts',
  doc: 'Merges a Cast into the widening Cast before it.',
  numerics: 'exact',
  pattern: 'a = Cast(x)\ny = Cast(a)',
  check(m) {
    const [from, between, to] = [
      m.value('x').dtype,
      dtypeFromCode(m.node('a').int('to')),
      dtypeFromCode(m.node('y').int('to')),
    ];
    if (!from || !between || !to) return 'a type is not known';
    if (!isLossless(from, between)) return `${between} does not hold every ${from}`;
    const isInteger = (d: string): boolean => /^u?int/.test(d);
    if (to === 'string' || /^float[48]/.test(to)) return `conversion to ${to} depends on the type before`;
    if (isInteger(to) && !isLossless(from, to) && (!isInteger(between) || !isInteger(from)))
      return `out of range values of ${between} become ${to} in their own way`;
    return true;
  },
  rewrite: (m, b) =>
    b.op('Cast', [m.value('x')], { attrs: { to: m.node('y').int('to') }, name: m.node('y').name || 'Cast' }),
});
