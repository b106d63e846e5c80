import { item } from '../base/lists.js';
import { label, type Attr, type Node, type Value } from '../ir/graph.js';
import { allGraphs } from '../ir/model.js';
import { specOf } from '../ops/index.js';
import { canBypass } from '../rewrite/bypass.js';
import { replaceOutputs, type Pass } from '../rewrite/pass.js';

/** a op b = b op a, to the last bit. */
const COMMUTATIVE = new Set([
  'Add',
  'Mul',
  'And',
  'Or',
  'Xor',
  'Equal',
  'Max',
  'Min',
  'BitwiseAnd',
  'BitwiseOr',
  'BitwiseXor',
]);
/** Larger tensors in attributes are data, and hardly written twice. */
const ATTRIBUTE_BYTES = 4096;

/**
 * Of nodes with the same op, attributes and inputs in one graph only the first stays. Left alone: ops that the project
 * does not know or that draw random numbers, nodes with subgraphs, and results that are both graph outputs.
 */
export const deduplicateExpressions = {
  name: 'deduplicate-expressions',
  doc: 'Computes equal expressions once.',
  numerics: 'exact',
  run(ctx) {
    const ids = new Map<Value, number>();
    const idOf = (v: Value | null): number => {
      if (!v) return -1;
      const id = ids.get(v) ?? ids.size;
      ids.set(v, id);
      return id;
    };
    /** What equal expressions share; undefined for what is never taken for one. */
    const keyOf = (node: Node): string | undefined => {
      const attrs = isRepeatable(node) ? attributesOf(node) : undefined;
      if (attrs === undefined) return undefined;
      const inputs = node.inputs.map(idOf);
      if (node.domain === '' && COMMUTATIVE.has(node.op) && inputs.length === 2) inputs.sort((a, b) => a - b);
      const named = node.outputs.map((o) => (o.name ? 1 : 0)).join('');
      return `${node.domain}:${node.op}:${node.overload}(${inputs.join()})<${attrs}>${named}`;
    };
    let changes = 0;
    for (const graph of allGraphs(ctx.model.graph)) {
      const seen = new Map<string, Node>();
      /** Sole readers of an input, until others come to read it: most nodes, which then need no key. */
      const alone = new Set<Node>();
      for (const node of graph.topological()) {
        if (node.inputs.some((v) => v?.uses.size === 1)) {
          alone.add(node);
          continue;
        }
        const key = keyOf(node);
        if (key === undefined) continue;
        const first = seen.get(key);
        if (!first) {
          seen.set(key, node);
          continue;
        }
        const blocked = node.outputs.find((o, i) => o.isGraphOutput && first.outputs[i]?.isGraphOutput);
        // the key says that outputs agree
        const possible = node.outputs.length === 1 ? canBypass(graph, node, item(first.outputs, 0)) : true;
        if (blocked || possible !== true) {
          ctx.refuse(
            'deduplicate-expressions',
            node,
            blocked ? `'${blocked.name}' and the result of '${label(first)}' are both graph outputs` : String(possible),
          );
          continue;
        }
        for (const o of first.outputs) {
          const [reader] = o.uses.size === 1 ? o.uses : [];
          const late = reader && alone.delete(reader.node) ? keyOf(reader.node) : undefined;
          if (reader && late !== undefined && !seen.has(late)) seen.set(late, reader.node);
        }
        replaceOutputs(graph, node, first.outputs);
        graph.remove(node);
        changes++;
      }
    }
    return { changes };
  },
} satisfies Pass;

function isRepeatable(node: Node): boolean {
  const spec = specOf(node);
  // Dropout is known, and draws random numbers in training mode.
  return spec !== undefined && spec.foldable && node.op !== 'Dropout' && node.subgraphs().length === 0;
}

function attributesOf(node: Node): string | undefined {
  const parts: string[] = [];
  for (const name of [...node.attrs.keys()].sort()) {
    const text = attributeText(node.attrs.get(name)!); // the key is one of the map
    if (text === undefined) return undefined;
    parts.push(`${name}=${text}`);
  }
  return parts.join(';');
}

/** The attribute as text that no different one gives; undefined where it is not compared. */
function attributeText(a: Attr): string | undefined {
  switch (a.type) {
    case 'int':
    case 'float':
      return `${a.type}:${Object.is(a.value, -0) ? '-0' : a.value}`;
    case 'ints':
    case 'floats':
      return `${a.type}:${a.value.map((v) => (Object.is(v, -0) ? '-0' : v)).join()}`;
    case 'string':
      return `string:${JSON.stringify(typeof a.value === 'string' ? a.value : [...a.value])}`;
    case 'strings':
      return `strings:${JSON.stringify(a.value.map((v) => (typeof v === 'string' ? v : [...v])))}`;
    case 'tensor':
      return a.value.dtype === 'string' || a.value.byteLength > ATTRIBUTE_BYTES
        ? undefined
        : `${a.value.dtype}[${a.value.dims.join()}]${Buffer.from(a.value.bytes()).toString('base64')}`;
    default:
      return undefined;
  }
}
