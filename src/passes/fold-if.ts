import { allGraphs, type Graph, type Model, type Node, type Value } from '../ir/graph.js';
import { moveInto, replaceByResults } from '../rewrite/subgraph.js';
import type { Pass } from '../rewrite/pass.js';

/**
 * If with a constant condition becomes the nodes of the branch that it takes. Names that are taken elsewhere change.
 * Refuses where this would show onnxruntime a shape that it accepts only unseen.
 */
export const foldIf = {
  name: 'fold-if', doc: 'Replaces an If whose condition is constant by the branch that it takes.', numerics: 'exact',
  run(ctx) {
    let changes = 0;
    for (const graph of allGraphs(ctx.model.graph)) {
      for (const node of [...graph.nodes]) {
        if (node.graph !== graph || node.op !== 'If' || node.domain !== '') continue;
        const condition = node.inputs[0]?.isInitializer ? node.inputs[0].data : undefined;
        if (!condition || condition.size !== 1 || condition.dtype !== 'bool') { ctx.refuse('fold-if', node, 'its condition is not constant'); continue; }
        const taken = node.attrs.get(condition.bytes()[0] ? 'then_branch' : 'else_branch');
        if (taken?.type !== 'graph') continue;
        if (node.outputs.some((y, i) => wantsScalar(y) && taken.value.outputs[i]?.shape?.length !== 0)) { ctx.refuse('fold-if', node, 'Range takes its result, which is not a scalar: onnxruntime accepts that only as long as it cannot see it'); continue; }
        inline(ctx.model, graph, node, taken.value);
        changes++;
      }
    }
    return { changes };
  },
} satisfies Pass;

/** Range is defined on scalars; onnxruntime's kernel takes vectors of one element too, but its shape inference does not. */
const wantsScalar = (v: Value): boolean => [...v.uses].some((u) => u.node.op === 'Range' && u.node.domain === '');

function inline(model: Model, graph: Graph, node: Node, branch: Graph): void {
  const results = moveInto(model, graph, branch);
  for (const [name, attr] of [...node.attrs]) if (attr.type === 'graph' && attr.value === branch) node.attrs.delete(name);
  replaceByResults(model, graph, node, results);
}
