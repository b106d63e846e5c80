/** Rows of large tables, looked up here: onnxruntime would hold the whole table, several times. */
import { field, filled, item } from '../base/lists.js';
import { tableShape } from '../channels/layer.js';
import { arrayOf } from '../data/feeds.js';
import { dtypeBits } from '../ir/dtype.js';
import type { Feed, FeedTensor } from '../ir/feed.js';
import type { Graph, Value } from '../ir/graph.js';
import { dataOf } from '../ir/known.js';
import type { Tensor } from '../ir/tensor.js';
import { inputInstead } from './frontier.js';

/** Smaller tables are left to onnxruntime. */
const TABLE_BYTES = 1 << 24;

interface Lookup {
  readonly table: Tensor;
  readonly ids: string;
  readonly name: string;
}

/** What is fed instead of what large tables give. */
export class Lookups {
  readonly #all: readonly Lookup[];
  /** What stands for which value of the graph. */
  readonly replaced: ReadonlyMap<Value, Value>;

  /** Takes large tables whose rows are named by inputs of the graph out of it. */
  constructor(graph: Graph) {
    const all: Lookup[] = [];
    const replaced = new Map<Value, Value>();
    for (const n of graph.topological()) {
      const shape = tableShape(n, ['float32', 'float16']);
      if (!shape?.input.name || !graph.inputs.includes(shape.input) || shape.input.data) continue;
      const table = dataOf(shape.weight);
      if (table.byteLength < TABLE_BYTES || table.dims.length !== 2) continue;
      const y = item(n.outputs, 0); // a table has an output
      const given = inputInstead(graph, y);
      given.dtype = table.dtype;
      replaced.set(y, given);
      all.push({ table, ids: shape.input.name, name: given.name });
    }
    this.#all = all;
    this.replaced = replaced;
  }

  /** A feed with what its ids look up. */
  with(feed: Feed): Feed {
    const more = this.#all.map(({ name, ids, table }) => [name, rowsAt(table, field(feed, ids))] as const);
    return more.length ? { ...feed, ...Object.fromEntries(more) } : feed;
  }
}

/** Rows of a table by ids, of which negative ones count from its end. */
function rowsAt(table: Tensor, ids: FeedTensor): FeedTensor {
  const [rows, columns] = [filled(table.dims, 0), filled(table.dims, 1)];
  const width = (columns * dtypeBits(table.dtype)) / 8;
  const data = filled([arrayOf(table.dtype, ids.data.length * columns)], 0); // float32 or float16
  const bytes = new Uint8Array(data.buffer);
  Array.from(ids.data, Number).forEach((id, i) => {
    bytes.set(table.range((id < 0 ? id + rows : id) * width, width), i * width);
  });
  return { dtype: table.dtype, dims: [...ids.dims, columns], data };
}
