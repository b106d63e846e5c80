import { allGraphs } from '../ir/graph.js';
import { removeUnused, type Pass } from '../rewrite/pass.js';

/** Removes nodes whose results reach no output, and initializers that nobody uses. */
export const eliminateDead = {
  name: 'eliminate-dead', doc: 'Removes what no output depends on.', numerics: 'exact',
  run({ model }) {
    let changes = 0;
    for (const graph of [...allGraphs(model.graph)]) changes += removeUnused(graph, graph.topological().reverse());
    for (const graph of allGraphs(model.graph)) {
      for (const v of graph.initializers) {
        if (v.uses.size || v.isGraphOutput || graph.inputs.includes(v)) continue;
        graph.initializers.delete(v);
        changes++;
      }
    }
    return { changes };
  },
} satisfies Pass;
