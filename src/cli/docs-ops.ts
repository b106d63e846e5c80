/** The page of operators: what is known of each. */
import { ops } from '../ops/index.js';
import { recurrentCell } from '../ops/linear.js';
import { isExpanded } from '../autodiff/expand.js';
import type { OpSpec } from '../ops/spec.js';

export function opsDoc(made: string): string {
  const rows = ops.map(
    (o) =>
      `| \`${o.domain ? `${o.domain}.` : ''}${o.op}\` | ${o.since} | ${roleOf(o)} | ` +
      `${o.cost === 'free' ? 'free' : 'counted'} | ${gradientOf(o)} | ${cell(o.doc)} |`,
  );
  return (
    `${made}\n# Operators\n\nOperators that quantbench knows: it infers their types and shapes, knows their ` +
    `cost, and knows what quantization may do\n` +
    'with them. Others pass through untouched and stay float. Whether an operator then runs in integers is the ' +
    `target's\nknowledge: see \`src/targets/\`.\n\n` +
    `- **compute**: multiply-accumulates of an activation and a weight; int32 accumulators\n` +
    `- **arithmetic**: every input and the output has a scale of its own\n` +
    `- **passthrough**: moves, selects or compares elements; input and output share one scale\n` +
    `- **clamp**: disappears into the output range of the operator before it\n` +
    `- **float**: stays float, for the reason given\n\n` +
    `What gradients do, for training:\n\n` +
    `- **rule**: go back through it\n` +
    `- **zero**: end there: its result steps, or tells of shapes\n` +
    `- **zero or estimated**: end there, or go through as if it did not step (the straight-through estimator)\n` +
    `- **unrolled**: go back through the steps that take its place, for sequences of known length\n` +
    `- **composed**: go back through the operators that it is made of\n` +
    `- **no**: a model is refused where the loss depends on it by way of what is trained\n\n` +
    '| operator | since opset | quantization | cost | gradient | what it does |\n|---|---|---|---|---|---|\n' +
    `${rows.join('\n')}\n`
  );
}

function gradientOf({ op, domain, gradient, linear }: OpSpec): string {
  if (linear === recurrentCell) return 'unrolled';
  if (isExpanded(op, domain)) return 'composed';
  if (gradient === 'unsupported') return 'no';
  if (gradient === 'zero') return 'zero';
  return typeof gradient === 'object' && gradient.estimate ? 'zero or estimated' : 'rule';
}

const roleOf = ({ quant }: OpSpec): string => (quant.role === 'float' ? `float: ${cell(quant.because)}` : quant.role);

export const cell = (text: string): string => text.replace(/\|/g, '\\|').replace(/\n/g, ' ');
