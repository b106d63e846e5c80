/** Why nothing in a model can be quantized, and what would help. */
import { fail } from '../base/errors.js';
import type { Format } from '../formats/types.js';
import { allGraphs, type Model, type Node } from '../ir/graph.js';
import { specOf } from '../ops/index.js';
import type { Planned } from '../quantize/plan.js';

const ML = 'ai.onnx.ml';
const RECURRENT = new Set(['GRU', 'RNN', 'LSTM']);
const SHOWN = 3;

/** Throws QUANTIZE_NOTHING for a model of ai.onnx.ml operators alone: no format has anything for it. */
export function assertMoreThanTrees(model: Model): void {
  const nodes = [...allGraphs(model.graph)].flatMap((g) => [...g.nodes]);
  if (!nodes.some((n) => n.domain === ML) || nodes.some((n) => specOf(n)?.quant.role === 'compute' || RECURRENT.has(n.op))) return;
  const ops = [...new Set(nodes.filter((n) => n.domain === ML).map((n) => n.op))];
  fail('QUANTIZE_NOTHING', `nothing in the model can be quantized: tree ensembles and linear ${ML} operators (${ops.join(', ')}) are not quantized`, {}, 'such models are small and quick as they are');
}

/** Throws QUANTIZE_NOTHING with the reasons of the nodes that would have been worth it. */
export function nothingToQuantize(model: Model, planned: Planned, format: Format): never {
  const worth = [...planned.floatNodes].filter(([n]) => specOf(n)?.quant.role === 'compute' || RECURRENT.has(n.op));
  const halves = format.plan === 'half' ? computeNodes(model).filter((n) => n.inputs.some((v) => v?.dtype === 'float16' || v?.dtype === 'float64')) : [];
  const type = halves.flatMap((n) => n.inputs).find((v) => v?.dtype === 'float16' || v?.dtype === 'float64')?.dtype;
  if (type === 'float16') fail('QUANTIZE_NOTHING', `the model is float16 already: ${counted(halves)} compute in it`, {}, 'qdq, dynamic and weight-only quantize the float32 model');
  if (type === 'float64') fail('QUANTIZE_NOTHING', `the model is float64: ${counted(halves)} compute in it, and float16 is made of float32`, {}, 'export the model in float32');
  const reasons = worth.slice(0, SHOWN).map(([n, why]) => `'${n.name || n.op}': ${reasonOf(n, why)}`);
  const text = reasons.length ? `; ${reasons.join('; ')}` : ': it has no convolution or matrix product';
  fail('QUANTIZE_NOTHING', `nothing in the model can run in integers${text}`, {}, hintFor(worth));
}

const computeNodes = (model: Model): Node[] => [...allGraphs(model.graph)].flatMap((g) => [...g.nodes]).filter((n) => specOf(n)?.quant.role === 'compute');

/** Such as `2 MatMul, 1 Conv`. */
function counted(nodes: readonly Node[]): string {
  const ops = new Map<string, number>();
  for (const n of nodes) ops.set(n.op, (ops.get(n.op) ?? 0) + 1);
  return [...ops].map(([op, n]) => `${n} ${op}`).join(', ');
}

const isLeft = (n: Node): boolean => n.op === 'MatMul' && n.inputs[0]?.isInitializer === true && n.inputs[1]?.isInitializer !== true;
const reasonOf = (n: Node, why: string): string => (isLeft(n) ? 'its constant is the left operand, which this format cannot take' : why);

function hintFor(worth: readonly (readonly [Node, string])[]): string {
  if (worth.some(([n]) => isLeft(n))) return 'quantize.format: qdq and qoperator quantize such products';
  if (worth.length && worth.every(([n]) => RECURRENT.has(n.op))) return 'quantize.format: coded stores the weights in fewer bits, at the speed of float';
  return 'see quantize.include, quantize.exclude and the model itself with `quantize inspect`';
}
