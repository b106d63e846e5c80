import type { Node } from '../ir/graph.js';
import { floatAttr } from '../rewrite/builder.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';
import { isNear, scalarOf } from './constants.js';

const isFloat = (m: Match): true | string => m.value('x').dtype === 'float32' || 'the type is not known to be float32';

/**
 * x · tanh(ln(1 + e^x)) is Mish(x). Tanh and Softplus have no integer kernel either. source:
 * https://arxiv.org/abs/1908.08681
 */
export const fuseMish = rulePass({
  name: 'fuse-mish',
  doc: 'Fuses Mish.',
  numerics: 'close',
  opset: 18,
  pattern: 's = Softplus(x)\nt = Tanh(s)\ny = Mul(x, t)',
  check: isFloat,
  rewrite: (m, b) => b.op('Mish', [m.value('x')], { name: m.node('y').name || 'Mish' }),
});

/**
 * x · HardSigmoid(x) with slope 1/6 and offset ½ is HardSwish(x). HardSigmoid has no integer kernel either. source:
 * https://arxiv.org/abs/1905.02244
 */
export const fuseHardSwish = rulePass({
  name: 'fuse-hard-swish',
  doc: 'Fuses HardSwish spelled with HardSigmoid.',
  numerics: 'close',
  opset: 14,
  pattern: 'h = HardSigmoid(x)\ny = Mul(x, h)',
  check(m) {
    const h = m.node('h');
    if (!isNear(h.float('alpha', 0.2), 1 / 6) || !isNear(h.float('beta', 0.5), 0.5))
      return 'its slope and offset are not 1/6 and ½';
    return isFloat(m);
  },
  rewrite: (m, b) => b.op('HardSwish', [m.value('x')], { name: m.node('y').name || 'HardSwish' }),
});

/**
 * x · Clip(x + 3, 0, 6) / 6 is HardSwish(x). Trades Add, Clip and Mul, which have integer kernels, for one that has
 * none.
 */
export const fuseHardSwishClip = rulePass({
  name: 'fuse-hard-swish-clip',
  doc: 'Fuses HardSwish spelled with Clip.',
  numerics: 'close',
  opset: 14,
  pattern: ['Div', 'Mul']
    .flatMap((op) => [`m = Mul(x, c)\ny = ${op}(m, six!)`, `d = ${op}(c, six!)\ny = Mul(x, d)`])
    .map((end) => `a = Add(x, three!)\nc = Clip(a, lo?!, hi?!)\n${end}`),
  check(m) {
    const x = m.value('x');
    const scale = m.has('d') ? m.node('d') : m.node('y');
    if (
      !isNear(scalarOf(m.value('three'), x), 3) ||
      !isNear(scalarOf(m.value('six'), x), scale.op === 'Div' ? 6 : 1 / 6)
    )
      return 'its constants are not 3 and 6';
    const [low, high] = limits(m.node('c'));
    return (low === 0 && high === 6) || 'it does not clip to 0…6';
  },
  rewrite: (m, b) => b.op('HardSwish', [m.value('x')], { name: m.node('y').name || 'HardSwish' }),
});

/**
 * x · Sigmoid(αx) is Swish(x), with α = 1.702 known as QuickGelu. Trades Sigmoid and Mul, which have integer kernels,
 * for one that has none. source: https://arxiv.org/abs/1710.05941
 */
export const fuseSwish = rulePass({
  name: 'fuse-swish',
  doc: 'Fuses Swish (SiLU).',
  numerics: 'close',
  opset: 24,
  pattern: ['s = Sigmoid(x)\ny = Mul(s, x)', 'k = Mul(x, alpha!)\ns = Sigmoid(k)\ny = Mul(s, x)'],
  check: (m) =>
    m.has('alpha') && scalarOf(m.value('alpha'), m.value('x')) === undefined
      ? 'its factor is not one float32 number'
      : isFloat(m),
  rewrite: (m, b) =>
    b.op('Swish', [m.value('x')], {
      attrs: m.has('alpha') ? { alpha: floatAttr(scalarOf(m.value('alpha')) ?? 1) } : {},
      name: m.node('y').name || 'Swish',
    }),
});

/** A line, clipped and scaled to 0…1: its slope and offset, or why the match is none. */
function lineOf(m: Match): { readonly alpha: number; readonly beta: number } | string {
  const x = m.value('x');
  const of = (name: string): number | undefined => (m.has(name) ? scalarOf(m.value(name), x) : 1);
  const [before, offset, after] = [of('k'), of('three'), of('six')];
  if (before === undefined || offset === undefined || after === undefined || x.dtype !== 'float32')
    return 'its slope and offset are not float32 numbers';
  const factor = m.has('six') && m.node('y').op === 'Div' ? 1 / after : after;
  const [low, high] = limits(m.node('c'));
  if (low !== 0 || high === undefined || !isNear(high * factor, 1)) return 'it does not end at 0 and 1';
  return factor * before > 0 ? { alpha: factor * before, beta: factor * offset } : 'it does not rise';
}

/**
 * Clip(x + 3, 0, 6) / 6 and Clip(k·x + b, 0, 1) are HardSigmoid. Trades Add, Clip and Mul, which have integer kernels,
 * for one that has none.
 */
export const fuseHardSigmoid = rulePass({
  name: 'fuse-hard-sigmoid',
  doc: 'Fuses HardSigmoid spelled with Clip.',
  numerics: 'close',
  opset: 6,
  pattern: [
    'a = Add(x, three!)\nc = Clip(a, lo?!, hi?!)\ny = Mul|Div(c, six!)',
    'l = Mul(x, k!)\na = Add(l, three!)\nc = Clip(a, lo?!, hi?!)',
  ],
  check: (m) => {
    const line = lineOf(m);
    return typeof line === 'string' ? line : true;
  },
  rewrite(m, b) {
    const line = lineOf(m);
    const { alpha, beta } = typeof line === 'string' ? { alpha: 0, beta: 0 } : line; // check() refused texts
    return b.op('HardSigmoid', [m.value('x')], {
      attrs: { alpha: floatAttr(alpha), beta: floatAttr(beta) },
      name: m.node('c').name || 'HardSigmoid',
    });
  },
});

/** Limits of a Clip: attributes before opset 11, inputs since. */
function limits(clip: Node): readonly [number | undefined, number | undefined] {
  const of = (name: string, slot: number): number | undefined =>
    clip.attrs.has(name) ? clip.float(name) : scalarOf(clip.inputs[slot] ?? null);
  return [of('min', 1), of('max', 2)];
}
