import { label, type Node, type Value } from '../../ir/graph.js';
import { dataInputs, specOf } from '../../ops/index.js';
import { onlyUse } from '../../rewrite/facts.js';
import { fusedOps, fusionsOf } from '../../scheme/fusions.js';
import type { LintContext, LintRule } from '../types.js';

const isWork = (n: Node): boolean => specOf(n)?.quant.role === 'compute';
const dequantized = ({ pairOf }: LintContext, v: Value | null | undefined): boolean =>
  v?.producer !== undefined && pairOf.get(v.producer)?.kind === 'dequantize';
const onlyReader = (v: Value | undefined): Node | undefined => onlyUse(v)?.node;
/** What a pair behind a value gives, where nothing else reads the value. */
function behindPair({ pairOf }: LintContext, v: Value | undefined): Value | undefined {
  const q = onlyReader(v);
  const dq = q && pairOf.get(q)?.kind === 'quantize' ? onlyReader(q.outputs[0]) : undefined;
  return dq && pairOf.get(dq)?.kind === 'dequantize' ? dq.outputs[0] : undefined;
}

/** Kernels with one input in codes and one in float. */
export const halfQuantized: LintRule = {
  name: 'half-quantized',
  doc: 'Both operands of a convolution or product are quantized.',
  severity: 'warning',
  applies: ({ formats }) => formats.includes('qdq'),
  *check(c) {
    for (const node of c.nodes) {
      const role = specOf(node)?.quant;
      if (role?.role !== 'compute') continue;
      const operands = [...new Set([...role.activations, role.weight])];
      const coded = operands.filter((i) => dequantized(c, node.inputs[i]));
      // weights alone in codes are a format of their own
      if (coded.length === 0 || coded.length === operands.length || (coded.length === 1 && coded[0] === role.weight))
        continue;
      yield { node, message: 'only some of its operands are quantized: it runs in float', fix: 'quantize them all' };
    }
  },
};

/** A pair where the runtime would have fused what stands around it. */
export const splitFusion: LintRule = {
  name: 'split-fusion',
  doc: 'No pair stands between a kernel and the activation that disappears into it.',
  severity: 'warning',
  applies: ({ fusions }) => fusions.length > 0,
  *check(c) {
    const fuses = fusionsOf(c.target.fusions);
    for (const node of c.nodes) {
      if (!isWork(node)) continue;
      const after = onlyReader(behindPair(c, node.outputs[0]));
      if (after && fuses(node, after))
        yield {
          node,
          message: `a pair stands between it and '${label(after)}' (${after.op})`,
          fix: `move the pair behind '${label(after)}'`,
        };
    }
  },
};

/** A pair between a product and the sum within its kernel. */
export const splitSum: LintRule = {
  name: 'split-sum',
  doc: "No pair stands between a convolution and the sum that its kernel adds: the sum's other operand has one.",
  severity: 'warning',
  applies: ({ fusedSums }) => (fusedSums?.length ?? 0) > 0,
  *check(c) {
    const sums = fusionsOf(c.target.fusedSums ?? []);
    for (const sum of c.nodes) {
      const makers = dataInputs(sum).flatMap((i) => {
        const v = sum.inputs[i];
        const dq = v?.producer;
        const q = dq && c.pairOf.get(dq)?.kind === 'dequantize' ? dq.inputs[0]?.producer : undefined;
        const made = q && c.pairOf.get(q)?.kind === 'quantize' ? q.inputs[0]?.producer : undefined;
        return made && onlyReader(v ?? undefined) === sum && sums(made, sum) ? made : [];
      });
      // One operand must be in codes; where both come from products, one of them may.
      const direct = dataInputs(sum).some((i) => sum.inputs[i]?.producer && isWork(sum.inputs[i].producer));
      const [node] = makers;
      if (node && !direct && onlyReader(behindPair(c, node.outputs[0])) === sum)
        yield {
          node,
          message: `a pair stands between it and the sum '${label(sum)}'`,
          fix: 'quantize the other operand of the sum only',
        };
    }
  },
};

/** A sum in float, for its other operand has no codes. */
export const floatResidual: LintRule = {
  name: 'float-residual',
  doc: 'The other operand of a sum within a convolution is quantized.',
  severity: 'warning',
  applies: ({ fusedSums }) => (fusedSums?.length ?? 0) > 0,
  *check(c) {
    const sums = fusionsOf(c.target.fusedSums ?? []);
    for (const node of c.nodes) {
      const operands = dataInputs(node).flatMap((i) => node.inputs[i] ?? []);
      const product = operands.find((v) => v.producer && sums(v.producer, node));
      if (!product?.producer?.inputs.some((v) => dequantized(c, v))) continue;
      const other = operands.find((v) => v !== product);
      if (!other?.producer || dequantized(c, other) || isWork(other.producer)) continue;
      yield { node, message: `'${other.name}' comes in float: the sum runs in float`, fix: `quantize '${other.name}'` };
    }
  },
};

/** Pooling, concatenation and resizing with inputs of both kinds. */
export const mixedInputs: LintRule = {
  name: 'mixed-inputs',
  doc: 'All data inputs of an operator that takes several are quantized, or none.',
  severity: 'warning',
  applies: ({ formats }) => formats.includes('qdq'),
  *check(c) {
    const sums = fusedOps(c.target.fusedSums ?? []);
    for (const node of c.nodes) {
      const role = specOf(node)?.quant.role;
      if ((role !== 'arithmetic' && role !== 'passthrough') || sums.has(node.op)) continue;
      const data = dataInputs(node).flatMap((i) => node.inputs[i] ?? []);
      const coded = data.filter((v) => dequantized(c, v)).length;
      if (coded && coded < data.length)
        yield {
          node,
          message: `${coded} of ${data.length} inputs are quantized: it runs in float`,
          fix: 'quantize them all',
        };
    }
  },
};

/** Outputs that are quantized for nothing. */
export const quantizedOutputs: LintRule = {
  name: 'quantized-outputs',
  doc: 'Outputs of the model are not quantized last: that costs accuracy and gains nothing.',
  severity: 'warning',
  applies: ({ fusedSums }) => (fusedSums?.length ?? 0) > 0,
  *check(c) {
    for (const y of c.model.graph.outputs)
      if (y.producer && dequantized(c, y))
        yield { node: y.producer, message: `output '${y.name}' is quantized`, fix: 'leave the last pair out' };
  },
};
