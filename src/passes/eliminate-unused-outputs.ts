import { item } from '../base/lists.js';
import { Node, type Graph } from '../ir/graph.js';
import { allGraphs } from '../ir/model.js';
import type { Pass } from '../rewrite/pass.js';

/** First output that may be omitted, by op: https://onnx.ai/onnx/operators/ */
const OPTIONAL_FROM: Readonly<Record<string, number>> = {
  MaxPool: 1,
  Dropout: 1,
  LayerNormalization: 1,
  Unique: 1,
  LSTM: 0,
  GRU: 0,
  RNN: 0,
};

/**
 * Results that nobody uses are no longer computed: optional outputs are left out, and If returns only what is used, so
 * that its branches shrink.
 */
export const eliminateUnusedOutputs = {
  name: 'eliminate-unused-outputs',
  doc: 'Leaves out optional outputs, and results of If, that nobody uses.',
  numerics: 'exact',
  run({ model }) {
    let changes = 0;
    for (const graph of allGraphs(model.graph)) {
      for (const node of [...graph.nodes]) {
        if (node.graph !== graph || node.domain !== '') continue;
        const from = node.op === 'If' ? 0 : OPTIONAL_FROM[node.op];
        const unused =
          from === undefined
            ? []
            : node.outputs
                .map((o, i) => ({ o, i }))
                .filter(({ o, i }) => i >= from && o.name && o.uses.size === 0 && !o.isGraphOutput);
        // a node without any use is dead as a whole
        if (!unused.length || unused.length === node.outputs.length) continue;
        if (node.op === 'If') shrinkIf(graph, node, new Set(unused.map(({ i }) => i)));
        else for (const { o } of unused) o.name = '';
        changes += unused.length;
      }
    }
    return { changes };
  },
} satisfies Pass;

/** An If without the outputs at `gone`, in place of the node. */
function shrinkIf(graph: Graph, node: Node, gone: ReadonlySet<number>): void {
  const kept = node.outputs.filter((_, i) => !gone.has(i));
  const made = new Node(
    node.op,
    node.inputs,
    kept.map((o) => o.name),
    node.domain,
    node.overload,
  );
  made.name = node.name;
  made.doc = node.doc;
  made.extra = node.extra;
  for (const [, branch] of node.subgraphs()) for (const i of [...gone].sort((a, b) => b - a)) branch.removeOutput(i);
  for (const [name, attr] of node.attrs) made.attrs.set(name, attr);
  node.attrs.clear(); // the branches belong to the new node: removing the old one must not empty them
  graph.add(made);
  kept.forEach((o, i) => {
    const to = item(made.outputs, i);
    to.dtype = o.dtype;
    to.shape = o.shape;
    to.other = o.other;
    to.extra = o.extra;
    graph.replaceUses(o, to);
  });
  graph.remove(node);
}
