import type { Attr, Node, Value } from '../ir/graph.js';
import type { GraphBuilder } from '../rewrite/builder.js';
import { sameShape } from '../rewrite/facts.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';
import { scalarOf } from './constants.js';

/** Activations of FusedConv with their parameters in its order; undefined where one is not a known number. */
const ACTIVATIONS: Readonly<Record<string, (n: Node) => readonly number[] | undefined>> = {
  Relu: () => [],
  Sigmoid: () => [],
  Tanh: () => [],
  LeakyRelu: (n) => [n.float('alpha', 0.01)],
  HardSigmoid: (n) => [n.float('alpha', 0.2), n.float('beta', 0.5)],
  Clip: (n) => limits(n),
};
const NAMES = Object.keys(ACTIVATIONS)
  .filter((op) => op !== 'Clip')
  .join('|');

/** Both limits of a Clip, attributes before opset 11, inputs since; an open side has none. */
function limits(n: Node): readonly number[] | undefined {
  const of = (name: string, slot: number): number | undefined =>
    n.attrs.has(name) ? n.float(name) : scalarOf(n.inputs[slot] ?? null);
  const [low, high] = [of('min', 1), of('max', 2)];
  return low === undefined || high === undefined ? undefined : [low, high];
}

function fits(m: Match): true | string {
  if (m.value('x').dtype !== 'float32') return 'the type is not known to be float32';
  const act = m.node('y');
  return ACTIVATIONS[act.op]?.(act) !== undefined || 'its limits are not two numbers';
}

function build(m: Match, b: GraphBuilder, sum: readonly Value[]): Value {
  const [conv, act] = [m.node(m.has('c') ? 'c' : 'a'), m.node('y')];
  const bias = m.optional('B');
  const params = ACTIVATIONS[act.op]?.(act) ?? [];
  const given: Attr = { type: 'floats', value: params };
  return b.op('FusedConv', [m.value('x'), m.value('W'), ...(bias || sum.length ? [bias] : []), ...sum], {
    domain: 'com.microsoft',
    name: conv.name || 'FusedConv',
    attrs: {
      ...Object.fromEntries(conv.attrs),
      activation: act.op,
      ...(params.length ? { activation_params: given } : {}),
    },
  });
}

/** An activation of `a`. */
const ACTIVATED = [`y = ${NAMES}(a)`, 'y = Clip(a, low?, high?)'];

/**
 * An activation after Conv joins it in onnxruntime's FusedConv: the runtime does that itself on loading, when it may
 * optimize.
 */
export const fuseConvActivation = rulePass({
  name: 'fuse-conv-activation',
  doc: 'Takes an activation into the Conv before it.',
  numerics: 'close',
  needs: 'com.microsoft:FusedConv',
  pattern: ACTIVATED.map((last) => `a = Conv(x, W, B?)\n${last}`),
  check: fits,
  rewrite: (m, b) => build(m, b, []),
});

/** The same with a sum of the same shape between them, as in residual networks. */
export const fuseConvAddActivation = rulePass({
  name: 'fuse-conv-add-activation',
  doc: 'Takes a sum and an activation into the Conv before them.',
  numerics: 'close',
  needs: 'com.microsoft:FusedConv',
  pattern: ACTIVATED.map((last) => `c = Conv(x, W, B?)\na = Add(c, z)\n${last}`),
  check: (m) =>
    sameShape(m.value('c').shape, m.value('z').shape)
      ? fits(m)
      : 'what is added is not known to have the shape of the convolution',
  rewrite: (m, b) => build(m, b, [m.value('z')]),
});
