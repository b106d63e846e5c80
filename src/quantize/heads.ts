/** Heads of language models: products that give a number for each row of an embedding table. */
import { filled } from '../base/lists.js';
import type { Node, Value } from '../ir/graph.js';
import type { Tensor } from '../ir/tensor.js';
import { linearView, specOf } from '../ops/index.js';

/** A product's weight as [rows, columns]: one output a row. */
interface Matrix {
  readonly rows: number;
  readonly columns: number;
  /** Whether it lies transposed, [columns, rows]. */
  readonly turned: boolean;
}

/** The last products of a graph that give as many numbers as a table of their width has rows, with that table. */
export function headsOf(order: readonly Node[]): ReadonlyMap<Node, Value> {
  const tables = order.flatMap((n) => {
    const view = linearView(n);
    const w = view?.kind === 'lookup' ? n.inputs[view.weight] : undefined;
    return w?.isInitializer && w.data?.dims.length === 2 ? [w] : [];
  });
  const heads = new Map<Node, Value>();
  if (!tables.length) return heads;
  for (const n of order) {
    const m = matrixOf(n);
    const table = m && tables.find(({ data }) => data?.dims[0] === m.rows && data.dims[1] === m.columns);
    if (table && !feedsProducts(n)) heads.set(n, table);
  }
  return heads;
}

/** The constant weight of a product of the last axis; undefined for other nodes. */
function matrixOf(n: Node): Matrix | undefined {
  const view = specOf(n)?.quant.role === 'compute' ? linearView(n) : undefined;
  const w = view?.kind === 'product' ? n.inputs[view.weight] : undefined;
  if (view?.kind !== 'product' || !w?.isInitializer || w.data?.dims.length !== 2) return undefined;
  const [a, b] = [filled(w.data.dims, 0), filled(w.data.dims, 1)];
  return view.outputAxis === 0 ? { rows: a, columns: b, turned: false } : { rows: b, columns: a, turned: true };
}

/** Whether a product or convolution comes after a node. */
function feedsProducts(n: Node): boolean {
  const seen = new Set<Node>([n]);
  const waiting = [n];
  for (let next = waiting.pop(); next; next = waiting.pop())
    for (const y of next.outputs)
      for (const { node } of y.uses) {
        if (seen.has(node)) continue;
        if (specOf(node)?.quant.role === 'compute') return true;
        seen.add(node);
        waiting.push(node);
      }
  return false;
}

/** Of heads, the weights that hold the same numbers as their table, transposed or not, with the table. */
export function tiedWeights(heads: ReadonlyMap<Node, Value>): ReadonlyMap<Value, Value> {
  const tied = new Map<Value, Value>();
  for (const [n, table] of heads) {
    const m = matrixOf(n);
    const w = m && filled(n.inputs, linearView(n)?.weight ?? 1);
    if (w?.data && table.data && m && (w === table || sameNumbers(table.data, w.data, m))) tied.set(w, table);
  }
  return tied;
}

function sameNumbers(table: Tensor, weight: Tensor, { rows, columns, turned }: Matrix): boolean {
  if (table.dtype !== weight.dtype || table.size !== weight.size || table.dtype !== 'float32') return false;
  const [a, b] = [table.f32(), weight.f32()];
  const at = (r: number, c: number): number => (turned ? c * rows + r : r * columns + c);
  const last = at(rows - 1, columns - 1);
  if (a[0] !== b[0] || a[rows * columns - 1] !== b[last]) return false; // before all of it is read
  for (let r = 0, i = 0; r < rows; r++) for (let c = 0; c < columns; c++, i++) if (a[i] !== b[at(r, c)]) return false;
  return true;
}
