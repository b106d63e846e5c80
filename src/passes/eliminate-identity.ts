import type { Node } from '../ir/graph.js';
import { allGraphs } from '../ir/model.js';
import { canBypass } from '../rewrite/bypass.js';
import type { Pass } from '../rewrite/pass.js';
import { replaceOutputs } from '../rewrite/pass.js';

/**
 * Removes Identity and inference-mode Dropout: y = x. Stays where the input's name must reach a graph output that
 * already has another (an input or constant returned as it is, one value returned twice, a value of an outer graph).
 */
export const eliminateIdentity = {
  name: 'eliminate-identity',
  doc: 'Removes Identity and Dropout nodes.',
  numerics: 'exact',
  run({ model, refuse }) {
    let changes = 0;
    for (const graph of allGraphs(model.graph)) {
      for (const node of graph.topological()) {
        const x = node.inputs[0];
        if (!x || !isIdentity(node)) continue;
        const verdict = canBypass(graph, node, x);
        if (verdict !== true) {
          refuse('eliminate-identity', node, verdict);
          continue;
        }
        replaceOutputs(graph, node, [x]);
        graph.remove(node);
        changes++;
      }
    }
    return { changes };
  },
} satisfies Pass;

function isIdentity(node: Node): boolean {
  if (node.domain !== '') return false;
  if (node.op === 'Identity') return true;
  if (node.op !== 'Dropout') return false;
  const mask = node.outputs[1];
  if (mask && (mask.uses.size > 0 || mask.isGraphOutput)) return false;
  const training = node.inputs[2];
  return !training || (training.isInitializer && training.data?.bytes()[0] === 0);
}
