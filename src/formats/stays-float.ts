/**
 * Layers that stay float between integer neighbours. ONNX Runtime quantizes their weights as well where a pair stands
 * on each side, one scale a tensor, whatever the file says of them.
 * source: https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/optimizer/qdq_transformer/weight_bias_quantization.cc
 */
import type { Graph, Node, Value } from '../ir/graph.js';
import { specOf } from '../ops/index.js';
import { isDequantize, isQuantize } from '../ops/kinds.js';
import type { GraphBuilder } from '../rewrite/builder.js';
import { onlyUse } from '../rewrite/facts.js';

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
const moves = (n: Node): boolean => n.domain === '' && MOVES.has(n.op);
const clamps = (n: Node): boolean => n.domain === '' && specOf(n)?.quant.role === 'clamp';

/**
 * Puts a sum of one operand, which no runtime takes away, behind each node of `ops` with float weights that has pairs
 * on both sides.
 */
export function keepFloat(graph: Graph, b: GraphBuilder, ops: readonly string[]): void {
  for (const n of graph.topological()) {
    const [x, w] = n.inputs;
    if (!ops.includes(n.op) || n.domain || !w?.data || !x || !fromPair(x)) continue;
    const clamp = onlyReader(n.outputs[0], clamps);
    const y = (clamp ?? n).outputs[0];
    if (!y || !toPair(y)) continue;
    const readers = [...y.uses];
    const same = b.op('Sum', [y], { name: `${n.name || n.op}_float` });
    for (const u of readers) u.node.setInput(u.index, same);
  }
}

/** The node that alone reads a value as its data, where it is of a kind. */
function onlyReader(v: Value | undefined, is: (n: Node) => boolean): Node | undefined {
  const use = onlyUse(v);
  return use?.index === 0 && is(use.node) ? use.node : undefined;
}

function fromPair(x: Value): boolean {
  let n = x.producer;
  while (n && moves(n)) n = n.inputs[0]?.producer;
  return n !== undefined && isDequantize(n);
}

function toPair(y: Value): boolean {
  let v: Value | undefined = y;
  for (let n = onlyReader(v, moves); n; n = onlyReader(v, moves)) [v] = n.outputs;
  const [use, another] = v ? [...v.uses] : [];
  return use !== undefined && !another && use.index === 0 && isQuantize(use.node);
}
