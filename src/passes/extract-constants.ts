import { Value, type Attr } from '../ir/graph.js';
import { allGraphs } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import type { Pass } from '../rewrite/pass.js';

/** Constant nodes become initializers of the same name. Sparse constants stay nodes. */
export const extractConstants = {
  name: 'extract-constants',
  doc: 'Turns Constant nodes into initializers.',
  numerics: 'exact',
  run({ model }) {
    let changes = 0;
    for (const graph of allGraphs(model.graph)) {
      for (const node of graph.topological()) {
        if (node.op !== 'Constant' || node.domain !== '') continue;
        const [out, ...others] = node.outputs;
        const attr = [...node.attrs.entries()].find(
          ([name]) => name.startsWith('value') || name === 'sparse_value',
        )?.[1];
        const tensor = attr && tensorOf(attr);
        if (!out || others.length || !tensor || out.isGraphOutput) continue;
        const name = out.name;
        out.name = `${name}__constant`;
        graph.replaceUses(out, graph.addInitializer(new Value(name), tensor));
        graph.remove(node);
        changes++;
      }
    }
    return { changes };
  },
} satisfies Pass;

function tensorOf(a: Attr): Tensor | undefined {
  switch (a.type) {
    case 'tensor':
      return a.value;
    case 'float':
      return Tensor.f32([a.value], []);
    case 'floats':
      return Tensor.f32(a.value);
    case 'int':
      return Tensor.i64([a.value], []);
    case 'ints':
      return Tensor.i64(a.value);
    case 'string':
      return new Tensor('string', [], [a.value]);
    case 'strings':
      return new Tensor('string', [a.value.length], a.value);
    default:
      return undefined;
  }
}
