import type { Graph, Value } from '../ir/graph.js';
import { allGraphs } from '../ir/model.js';

/** Ops that compare numbers; Equal tells only c from the rest, the others also the numbers beside it. */
const COMPARISONS = new Set(['Equal', 'Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual']);
const MOVES = new Set(['Identity', 'Cast', 'Squeeze', 'Unsqueeze', 'Reshape']);

/**
 * Integers that decide which branch a model takes, by input: for inputs of one integer, the constants that they are
 * compared with (sr == 16000), and the integers beside them where the comparison is of order. Random inputs hit none.
 */
export function comparedIntegers(graph: Graph): ReadonlyMap<string, readonly number[]> {
  const found = new Map<string, Set<number>>();
  for (const g of allGraphs(graph)) {
    for (const node of g.nodes) {
      if (!COMPARISONS.has(node.op) || node.domain !== '') continue;
      const [a, b] = node.inputs;
      for (const [x, other] of [
        [a, b],
        [b, a],
      ] as const) {
        const [input, c] = [x && sourceOf(x), other && integerOf(other)];
        if (!input || typeof c !== 'number' || !graph.isInput(input) || !input.shape?.every((d) => d === 1)) continue;
        if (input.dtype !== 'int64' && input.dtype !== 'int32') continue;
        const values = found.get(input.name) ?? new Set();
        for (const v of node.op === 'Equal' ? [c] : [c - 1, c, c + 1]) values.add(v);
        found.set(input.name, values);
      }
    }
  }
  return new Map([...found].map(([name, values]) => [name, [...values]]));
}

/** The value that a chain of casts and views of one element begins at. */
function sourceOf(v: Value): Value {
  let at = v;
  for (let next = at.producer; next && MOVES.has(next.op) && next.domain === '' && next.inputs[0]; next = at.producer)
    at = next.inputs[0];
  return at;
}

/** The one integer that a constant holds, as an initializer or a Constant node. */
function integerOf(v: Value): number | undefined {
  const attr =
    v.producer?.op === 'Constant' ? (v.producer.attrs.get('value') ?? v.producer.attrs.get('value_int')) : undefined;
  if (attr?.type === 'int') return Number(attr.value);
  const data = v.data ?? (attr?.type === 'tensor' ? attr.value : undefined);
  return data?.size === 1 && (data.dtype === 'int64' || data.dtype === 'int32')
    ? data.numbersOrUndefined()?.[0]
    : undefined;
}
