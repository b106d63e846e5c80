import { isQuantizedOp, specOf } from '../../ops/index.js';
import { isDequantize, isQuantize } from '../../ops/kinds.js';
import type { LintRule } from '../types.js';

/** A newer opset than the runtime reads. */
export const opset: LintRule = {
  name: 'opset',
  doc: 'The opset is one that the runtime reads.',
  severity: 'error',
  applies: () => true,
  *check({ model, target, nodes }) {
    const own = model.opsets.get('') ?? 1;
    const [node] = nodes;
    if (own > target.maxOpset && node)
      yield {
        node,
        message: `opset ${own}; ${target.name} reads ${target.maxOpset} and older`,
        fix: 'export it for an older one',
      };
  },
};

/** Operators of integers, or of another domain, that the runtime lacks. */
export const foreignOperators: LintRule = {
  name: 'foreign-operators',
  doc: 'Operators are those of the standard, of a format that the runtime reads, or its own.',
  severity: 'error',
  applies: () => true,
  *check({ target, nodes }) {
    const reads = (format: string): boolean => target.formats.includes(format);
    for (const node of nodes) {
      if (isQuantize(node) || isDequantize(node)) continue;
      const own = target.ownOps.some((o) => o.op === `${node.domain}:${node.op}`);
      if (own || (reads('qoperator') && reads('dynamic'))) continue;
      if (isQuantizedOp(node) || /^(QLinear|Dynamic|.*Integer$)/.test(node.op))
        yield { node, message: `${target.name} has no operator of codes`, fix: 'write Q/DQ pairs (format: qdq)' };
      else if (node.domain !== '')
        yield { node, message: `${target.name} has no operators of ${node.domain}`, fix: 'export standard operators' };
    }
  },
};

/** Operators between Quantize and Dequantize. */
export const onCodes: LintRule = {
  name: 'on-codes',
  doc: 'Nothing works on codes between QuantizeLinear and DequantizeLinear, but what the runtime takes there.',
  severity: 'error',
  applies: () => true,
  *check({ target, nodes, pairOf }) {
    const codes = new Set(nodes.filter((n) => pairOf.get(n)?.kind === 'quantize').flatMap((n) => n.outputs));
    for (const node of nodes) {
      if (pairOf.has(node) || !node.inputs.some((v) => v && codes.has(v))) continue;
      for (const y of node.outputs) codes.add(y);
      if (target.onCodes.includes(node.op) || target.formats.includes('qoperator')) continue;
      yield { node, message: 'it works on codes', fix: 'put it between DequantizeLinear and QuantizeLinear' };
    }
  },
};

/** A Pad whose value is dequantized. */
export const padConstants: LintRule = {
  name: 'pad-constants',
  doc: 'The value that Pad fills with is a float constant.',
  severity: 'error',
  applies: ({ formats }) => !formats.includes('qoperator'),
  *check({ nodes, pairOf }) {
    for (const node of nodes) {
      const value = node.op === 'Pad' ? node.inputs[2] : undefined;
      if (value?.producer && pairOf.has(value.producer))
        yield {
          node,
          message: 'the value that it fills with is dequantized',
          fix: 'store the value as a float scalar',
        };
    }
  },
};

/** A model with nothing in integers. */
export const nothingQuantized: LintRule = {
  name: 'nothing-quantized',
  doc: 'Some convolution or product is quantized.',
  severity: 'error',
  applies: () => true,
  *check({ nodes, pairOf, pairs }) {
    const work = nodes.filter((n) => specOf(n)?.quant.role === 'compute');
    const [node] = work;
    const some = work.some((n) => n.inputs.some((v) => v?.producer && pairOf.has(v.producer)));
    if (node && !some && !nodes.some(isQuantizedOp))
      yield {
        node,
        message: pairs.length ? 'pairs stand around no convolution or product' : 'nothing is quantized',
        fix: 'quantize it: quantize --recipe R --target T',
      };
  },
};
