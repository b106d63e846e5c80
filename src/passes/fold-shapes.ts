import { Value, type Dim, type Graph, type Node, type Shape } from '../ir/graph.js';
import { allGraphs } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { inferShapes } from '../ops/infer.js';
import type { Pass } from '../rewrite/pass.js';

/**
 * Shape arithmetic whose result inference knows becomes a constant. A Reshape target with symbolic parts becomes a
 * constant too where ONNX can say it: 0 for "as in the input", −1 for the one size that is left.
 */
export const foldShapes = {
  name: 'fold-shapes',
  doc: 'Replaces computed shapes by constants.',
  numerics: 'exact',
  run({ model }) {
    const { ints } = inferShapes(model);
    let changes = 0;
    for (const graph of allGraphs(model.graph)) {
      for (const node of graph.topological()) {
        if (node.op === 'Reshape' && node.domain === '' && foldTarget(graph, node, ints)) changes++;
        const out = node.outputs[0];
        const known = out && ints.get(out);
        if (!out || !known || node.outputs.length !== 1 || out.isGraphOutput || out.uses.size === 0) continue;
        if (
          !known.every((d): d is number => typeof d === 'number') ||
          (out.dtype !== 'int64' && out.dtype !== 'int32') ||
          !isStatic(out.shape, known.length)
        )
          continue;
        const tensor = out.dtype === 'int64' ? Tensor.i64(known, out.shape) : Tensor.i32(known, out.shape);
        const name = out.name;
        out.name = `${name}__shape`;
        graph.replaceUses(out, graph.addInitializer(new Value(name), tensor));
        graph.remove(node);
        changes++;
      }
    }
    return { changes };
  },
} satisfies Pass;

const isStatic = (shape: Shape | undefined, elements: number): shape is readonly number[] =>
  shape !== undefined &&
  shape.every((d) => typeof d === 'number') &&
  shape.reduce<number>((n, d) => n * d, 1) === elements; // every() checked the type

function foldTarget(graph: Graph, node: Node, ints: ReadonlyMap<Value, readonly Dim[]>): boolean {
  const [x, target] = node.inputs;
  const known = target && ints.get(target);
  if (!x?.shape || !target || target.isInitializer || !known || node.int('allowzero', 0) !== 0) return false;
  if (known.every((d) => typeof d === 'number')) return false; // the general case below handles it
  let holes = known.filter((d) => d === -1).length;
  const dims = known.map((d, i) => {
    if (typeof d === 'number') return d;
    if (d !== null && x.shape?.[i] === d) return 0;
    holes++;
    return -1;
  });
  if (holes > 1 || (holes === 1 && dims.some((d, i) => d === 0 && known[i] === 0))) return false;
  const name = `${node.outputs[0]?.name ?? node.name}__shape`;
  node.setInput(1, graph.addInitializer(new Value(name), Tensor.i64(dims)));
  return true;
}
