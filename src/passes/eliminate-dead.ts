import { allGraphs } from '../ir/model.js';
import { removeUnused, removeUnusedInitializers, type Pass } from '../rewrite/pass.js';

/** Removes nodes whose results reach no output, and initializers that nobody uses. */
export const eliminateDead = {
  name: 'eliminate-dead',
  doc: 'Removes what no output depends on.',
  numerics: 'exact',
  run({ model }) {
    let changes = 0;
    for (const graph of [...allGraphs(model.graph)]) changes += removeUnused(graph, graph.topological().toReversed());
    changes += removeUnusedInitializers(model.graph);
    return { changes };
  },
} satisfies Pass;
