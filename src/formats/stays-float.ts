/**
 * Layers that stay float between integer neighbours. ONNX Runtime quantizes their weights as well where a pair stands on
 * each side, one scale a tensor, whatever the file says of them.
 * source: https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/optimizer/qdq_transformer/weight_bias_quantization.cc
 */
import type { Graph, Node, Value } from '../ir/graph.js';
import { isDequantize, isQuantize } from '../ops/kinds.js';
import type { GraphBuilder } from '../rewrite/builder.js';

/** What pairs move across when the runtime optimizes, besides clamps, which become ranges of codes. */
const MOVES = new Set([
  'MaxPool',
  'Reshape',
  'Flatten',
  'Transpose',
  'Squeeze',
  'Unsqueeze',
  'Slice',
  'Expand',
  'Resize',
]);
const CLAMPS = new Set(['Relu', 'Clip']);

/**
 * Puts a sum of one operand, which no runtime takes away, behind each node of `ops` with float weights that has pairs
 * on both sides. Gives how many there are.
 */
export function keepFloat(graph: Graph, b: GraphBuilder, ops: readonly string[]): number {
  let kept = 0;
  for (const n of graph.topological()) {
    const [x, w] = n.inputs;
    if (!ops.includes(n.op) || n.domain || !w?.data || !x || !fromPair(x)) continue;
    const clamp = onlyReader(n.outputs[0], CLAMPS);
    const y = (clamp ?? n).outputs[0];
    if (!y || !toPair(y)) continue;
    const readers = [...y.uses];
    const same = b.op('Sum', [y], { name: `${n.name || n.op}_float` });
    for (const u of readers) u.node.setInput(u.index, same);
    kept++;
  }
  return kept;
}

/** The node that alone reads a value, where it is one of these. */
function onlyReader(v: Value | undefined, ops: ReadonlySet<string>): Node | undefined {
  const [use, another] = v && !v.isGraphOutput ? [...v.uses] : [];
  return use && !another && use.index === 0 && !use.node.domain && ops.has(use.node.op) ? use.node : undefined;
}

function fromPair(x: Value): boolean {
  let n = x.producer;
  while (n && !n.domain && MOVES.has(n.op)) n = n.inputs[0]?.producer;
  return n !== undefined && isDequantize(n);
}

function toPair(y: Value): boolean {
  let v: Value | undefined = y;
  for (let n = onlyReader(v, MOVES); n; n = onlyReader(v, MOVES)) [v] = n.outputs;
  const [use, another] = v ? [...v.uses] : [];
  return use !== undefined && !another && use.index === 0 && isQuantize(use.node);
}
