import { item } from '../base/lists.js';
import { Node, type Graph, type Use, type Value } from '../ir/graph.js';
import { allGraphs, nameMaker, type Model } from '../ir/model.js';
import { moveInto, replaceByResults } from '../rewrite/subgraph.js';
import type { Pass } from '../rewrite/pass.js';

/**
 * If with a constant condition becomes the nodes of the branch that it takes. Names that are taken elsewhere change.
 * Range is defined on scalars; onnxruntime's kernel takes vectors of one element too, but its shape inference does not
 * once they are constants that it sees: then a Squeeze is put between. Refuses where such a result's shape is not
 * known.
 */
export const foldIf = {
  name: 'fold-if',
  doc: 'Replaces an If whose condition is constant by the branch that it takes.',
  numerics: 'exact',
  run(ctx) {
    let changes = 0;
    for (const graph of allGraphs(ctx.model.graph)) {
      for (const node of [...graph.nodes]) {
        if (node.graph !== graph || node.op !== 'If' || node.domain !== '') continue;
        const condition = node.inputs[0]?.isInitializer ? node.inputs[0].data : undefined;
        if (!condition || condition.size !== 1 || condition.dtype !== 'bool') {
          ctx.refuse('fold-if', node, 'its condition is not constant');
          continue;
        }
        const taken = node.attrs.get(condition.bytes()[0] ? 'then_branch' : 'else_branch');
        if (taken?.type !== 'graph') continue;
        if (taken.value.inputs.length || taken.value.outputs.length < node.outputs.length) {
          ctx.refuse('fold-if', node, 'its branch takes inputs, which no branch may, or gives too few results');
          continue;
        }
        const vectors = node.outputs
          .flatMap((y, i) =>
            taken.value.outputs[i]?.shape?.length === 0 ? [] : [{ result: taken.value.outputs[i], uses: rangeUses(y) }],
          )
          .filter((v) => v.uses.length);
        if (vectors.some((v) => !v.result?.shape?.every((d) => d === 1))) {
          ctx.refuse('fold-if', node, 'Range takes its result, which is not known to be one element');
          continue;
        }
        inline(ctx.model, graph, node, taken.value);
        for (const { result, uses } of vectors) if (result) squeezeFor(uses, result, graph, ctx.model);
        changes++;
      }
    }
    return { changes };
  },
} satisfies Pass;

const rangeUses = (v: Value): readonly Use[] =>
  [...v.uses].filter((u) => u.node.op === 'Range' && u.node.domain === '');

function squeezeFor(uses: readonly Use[], vector: Value, graph: Graph, model: Model): void {
  const free = nameMaker(model.graph);
  const node = new Node('Squeeze', [vector], [free(`${vector.name}_scalar`)]);
  const scalar = item(graph.add(node).outputs, 0); // made with one output
  node.name = free(`${vector.name}_squeeze`);
  scalar.dtype = vector.dtype;
  scalar.shape = [];
  for (const u of uses) u.node.setInput(u.index, scalar);
}

function inline(model: Model, graph: Graph, node: Node, branch: Graph): void {
  const results = moveInto(model, graph, branch);
  for (const [name, attr] of [...node.attrs])
    if (attr.type === 'graph' && attr.value === branch) node.attrs.delete(name);
  replaceByResults(model, graph, node, results);
}
