import type { Node, Use, Value } from '../../ir/graph.js';
import { specOf } from '../../ops/index.js';
import { isDequantize, isQuantize } from '../../ops/kinds.js';
import type { PortRule, TargetProfile } from '../../scheme/profile.js';
import type { Pair } from '../pairs.js';
import type { LintRule } from '../types.js';

const types = (rule: PortRule): string => rule.types.join(' or ');
const biasTypes = new Set(['int32']);

/** Codes of a type that no kernel takes. */
export const codeTypes: LintRule = {
  name: 'code-types',
  doc: 'Codes are of a type that the runtime takes: its ports say which.',
  severity: 'error',
  applies: () => true,
  *check({ target, pairs }) {
    for (const { node, dtype, constant } of pairs) {
      if (biasTypes.has(dtype) && constant) continue; // a bias: a rule of its own
      const rule = constant ? target.ports.weight : target.ports.activation;
      if (rule.types.some((t) => t === dtype) || target.beyondPorts === 'float') continue;
      const what = constant ? 'weights' : 'activations';
      yield {
        node,
        message: `${dtype} codes; ${target.name} takes ${types(rule)} for ${what}`,
        fix: `quantize ${what} to ${rule.types[0]}`,
      };
    }
  },
};

/** Whether only products between which zero points may be make and read a tensor, clamps aside. */
function isBetween({ node, kind, data }: Pair, { zeroPointsBetween = [] }: TargetProfile): boolean {
  const product = (n: Node | undefined): boolean => n !== undefined && zeroPointsBetween.includes(n.op);
  const clamps = (n: Node): boolean => specOf(n)?.quant.role === 'clamp';
  const makerOf = (v: Value | null | undefined): Node | undefined => {
    const made = v?.producer;
    return made && (clamps(made) || isQuantize(made)) ? makerOf(made.inputs[0]) : made;
  };
  const readersOf = (v: Value | undefined): readonly Use[] =>
    [...(v?.uses ?? [])].flatMap((u) => (clamps(u.node) || isDequantize(u.node) ? readersOf(u.node.outputs[0]) : [u]));
  const codes = kind === 'quantize' ? node.outputs[0] : data;
  return product(makerOf(data)) && readersOf(codes).every((u) => product(u.node) && u.index === 0);
}

/** Zero points other than 0. */
export const zeroPoints: LintRule = {
  name: 'zero-points',
  doc: 'Zero points are 0 where the runtime takes symmetric codes only.',
  severity: 'error',
  applies: ({ ports }) => ports.activation.symmetric === true || ports.weight.symmetric === true,
  *check({ target, pairs }) {
    for (const pair of pairs) {
      const { node, dtype, zeroPoint, hasZeroPoint, constant } = pair;
      const { symmetric } = constant ? target.ports.weight : target.ports.activation;
      if (!symmetric || biasTypes.has(dtype) || (!constant && zeroPoint && isBetween(pair, target))) continue;
      if (hasZeroPoint && !zeroPoint)
        yield { node, message: 'the zero point is no constant', fix: 'store it as an initializer of zeros' };
      else if (zeroPoint?.f64().some((z) => z !== 0))
        yield { node, message: 'a zero point is not 0', fix: 'quantize symmetrically (symmetric: true)' };
    }
  },
};

/** Biases in codes where they are to stay float. */
export const biases: LintRule = {
  name: 'biases',
  doc: 'Biases stay float where the runtime dequantizes no int32.',
  severity: 'error',
  applies: ({ bias }) => bias === 'float',
  *check({ nodes, pairOf }) {
    for (const node of nodes) {
      const role = specOf(node)?.quant;
      const bias = role?.role === 'compute' && role.bias !== undefined ? node.inputs[role.bias] : undefined;
      if (bias?.producer && pairOf.has(bias.producer))
        yield { node, message: 'its bias is quantized', fix: 'keep the bias a float initializer' };
    }
  },
};

/** The lowest code, where kernels leave it out. */
export const narrowWeights: LintRule = {
  name: 'narrow-weights',
  doc: 'Weights leave the lowest code out where kernels are written for −127..127.',
  severity: 'error',
  applies: ({ ports }) => ports.weight.narrow === true,
  *check({ pairs }) {
    for (const { node, kind, data, dtype } of pairs) {
      const lowest = dtype === 'int8' ? -128 : dtype === 'int4' ? -8 : undefined;
      if (kind !== 'dequantize' || lowest === undefined || !data.data) continue;
      if (data.data.f64().includes(lowest))
        yield { node, message: `a weight has the code ${lowest}`, fix: 'quantize weights with narrow: true' };
    }
  },
};
