import type { Dim, Value } from '../ir/graph.js';
import { inferNode, inferShapes } from '../ops/infer.js';
import type { Pass } from '../rewrite/pass.js';

/**
 * Gives every unknown size of the main graph's values a name of its own, `value.axis`, and infers on from there: what
 * keeps the size then has the same name, so that shape arithmetic sees that a Reshape to Shape(x)[0], Shape(x)[1], …
 * keeps two axes. No node changes. Values of subgraphs stay: a size may differ from one run of a body to the next.
 * Graph outputs stay as the file declares them.
 */
export const nameSizes = {
  name: 'name-sizes',
  doc: 'Names unknown sizes, so that equal ones are seen to be equal.',
  numerics: 'exact',
  annotates: true,
  run({ model }) {
    const ints = new Map<Value, readonly Dim[]>(inferShapes(model).ints);
    let changes = 0;
    for (const node of model.graph.topological()) {
      inferNode(node, model, ints);
      for (const out of node.outputs) {
        if (!out.name || out.isGraphOutput || !out.shape?.includes(null)) continue;
        out.shape = out.shape.map((d, axis) => d ?? `${out.name}.${axis}`);
        changes++;
      }
    }
    return { changes };
  },
} satisfies Pass;
