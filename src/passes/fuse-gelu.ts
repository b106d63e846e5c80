import type { GraphBuilder } from '../rewrite/builder.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';
import type { Value } from '../ir/graph.js';
import { isNear, scalarOf } from './constants.js';

/** The three orders in which exporters multiply x, ½ and (1 + f): `a` is the sum. */
const PRODUCTS = [
  'm = Mul(x, a)\ny = Mul(m, half!)',
  'm = Mul(x, half!)\ny = Mul(a, m)',
  'm = Mul(a, half!)\ny = Mul(x, m)',
];

function isGelu(m: Match): true | string {
  const x = m.value('x');
  if (!isNear(scalarOf(m.value('one'), x), 1) || !isNear(scalarOf(m.value('half'), x), 0.5))
    return 'its constants are not 1 and ½';
  return true;
}
const build = (m: Match, b: GraphBuilder, approximate: 'none' | 'tanh'): Value =>
  b.op('Gelu', [m.value('x')], { attrs: approximate === 'tanh' ? { approximate } : {}, name: m.node('y').name });

/**
 * ½·x·(1 + erf(x/√2)) is Gelu(x). Add and Mul have integer kernels and Gelu has none, but the Erf between them has
 * none either, so the block is float in any case. source: https://arxiv.org/abs/1606.08415
 */
export const fuseGelu = rulePass({
  name: 'fuse-gelu',
  doc: 'Fuses a Gelu spelled with Erf.',
  numerics: 'close',
  opset: 20,
  pattern: PRODUCTS.map((p) => `s = Div|Mul(x, r!)\ne = Erf(s)\na = Add(e, one!)\n${p}`),
  check(m) {
    const r = scalarOf(m.value('r'), m.value('x'));
    if (!isNear(r, m.node('s').op === 'Div' ? Math.SQRT2 : Math.SQRT1_2))
      return `'${m.value('r').name}' is not √2 (as a factor, 1/√2)`;
    return isGelu(m);
  },
  rewrite: (m, b) => build(m, b, 'none'),
});

/** The same with x taken out: √(2/π)·x·(1 + 0.044715·x²). */
const FACTORED = [
  'q = Mul(x, x)\nk = Mul(q, small!)',
  'q = Pow(x, two!)\nk = Mul(q, small!)',
  'q = Mul(x, small!)\nk = Mul(q, x)',
].flatMap((square) =>
  ['w = Mul(x, r!)\nj = Mul(w, i)', 'w = Mul(x, i)\nj = Mul(w, r!)'].flatMap((inner) =>
    PRODUCTS.map((p) => `${square}\ni = Add(k, unit!)\n${inner}\nt = Tanh(j)\na = Add(t, one!)\n${p}`),
  ),
);

/** ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) is Gelu(x) with approximate = "tanh". The Tanh is float in any case. */
export const fuseGeluTanh = rulePass({
  name: 'fuse-gelu-tanh',
  doc: 'Fuses a Gelu spelled with Tanh.',
  numerics: 'close',
  opset: 20,
  pattern: [
    ...['c = Pow(x, three!)', 'q = Mul(x, x)\nc = Mul(q, x)', 'q = Pow(x, two!)\nc = Mul(q, x)'].flatMap((cube) =>
      PRODUCTS.map(
        (p) => `${cube}\nk = Mul(c, small!)\ni = Add(x, k)\nj = Mul(i, r!)\nt = Tanh(j)\na = Add(t, one!)\n${p}`,
      ),
    ),
    ...FACTORED,
  ],
  check(m) {
    const x = m.value('x');
    const has = (name: string, target: number): boolean => isNear(scalarOf(m.value(name), x), target);
    const cube = m.has('unit')
      ? has('unit', 1) && (!m.has('two') || has('two', 2))
      : m.node('c').op === 'Pow'
        ? has('three', 3)
        : m.node('q').op !== 'Pow' || has('two', 2);
    if (!cube || !has('small', 0.044715) || !has('r', Math.sqrt(2 / Math.PI)))
      return 'its constants are not those of the tanh form of Gelu';
    return isGelu(m);
  },
  rewrite: (m, b) => build(m, b, 'tanh'),
});
