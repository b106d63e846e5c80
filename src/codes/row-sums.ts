/** Sums of outer products over many feeds: rows are gathered until they are worth a matrix product. */
import type { Value } from '../ir/graph.js';
import { Graph } from '../ir/graph.js';
import { createModel } from '../ir/model.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { field } from '../base/lists.js';
import type { FeedTensor } from '../ir/feed.js';
import { Tensor } from '../ir/tensor.js';
import { openModel } from '../runtime/open.js';
import type { Session } from '../runtime/session.js';
import { SharedRoom } from './shared-room.js';

/** Rows of one product; at 1,536 columns they take 12 MB. */
const ROWS = 2048;

/**
 * Σ x·xᵀ, Σ x·yᵀ, Σ x and Σ y over rows x of `columns` and y of `others` float32 numbers. The products are computed
 * in float32, `ROWS` at a time, and summed in float64.
 */
export class RowSums {
  readonly sums: {
    readonly products: Float64Array;
    readonly cross: Float64Array;
    readonly sums: Float64Array;
    places: number;
  };
  /** Σ y. */
  readonly others: Float64Array;
  readonly #columns: number;
  readonly #threads: number;
  readonly #x: Float32Array;
  readonly #y: Float32Array | undefined;
  #filled = 0;
  #session: Session | undefined;

  /** `others`: 0 without cross products. */
  constructor(columns: number, others: number, threads: number, room = new SharedRoom()) {
    this.#columns = columns;
    this.#threads = threads;
    this.#x = new Float32Array(ROWS * columns);
    this.#y = others ? new Float32Array(ROWS * others) : undefined;
    this.others = new Float64Array(others);
    this.sums = {
      products: room.take(columns * columns),
      cross: room.take(columns * others),
      sums: new Float64Array(columns),
      places: 0,
    };
  }

  /** `y` has as many rows as `x`; absent without cross products. */
  async add(x: Float32Array, y: Float32Array | undefined): Promise<void> {
    const [k, m] = [this.#columns, this.others.length];
    for (let from = 0, rows = x.length / k; from < rows;) {
      const count = Math.min(rows - from, ROWS - this.#filled);
      this.#x.set(x.subarray(from * k, (from + count) * k), this.#filled * k);
      if (y) this.#y?.set(y.subarray(from * m, (from + count) * m), this.#filled * m);
      this.#filled += count;
      from += count;
      if (this.#filled === ROWS) await this.#flush();
    }
  }
  /** Takes in what is left. */
  async finish(): Promise<void> {
    if (this.#filled) await this.#flush();
    mirror(this.sums.products, this.#columns);
  }
  async close(): Promise<void> {
    await this.#session?.close();
  }

  async #flush(): Promise<void> {
    const [k, m] = [this.#columns, this.others.length];
    const n = this.#filled;
    const rows = (data: Float32Array, width: number) => ({
      dtype: 'float32' as const,
      dims: [n, width],
      data: data.subarray(0, n * width),
    });
    const x = rows(this.#x, k);
    // of the products with itself, what is below the diagonal is enough
    for (const [from, to] of stripsOf(k, k, HALVED)) await this.#add(this.sums.products, k, x, x, [from, from, to]);
    if (this.#y) {
      const y = rows(this.#y, m);
      for (const [from, to] of stripsOf(m, k)) await this.#add(this.sums.cross, m, x, y, [0, from, to]);
      for (let r = 0; r < n; r++) for (let c = 0; c < m; c++) this.others[c]! += this.#y[r * m + c]!;
    }
    for (let r = 0; r < n; r++) for (let c = 0; c < k; c++) this.sums.sums[c]! += this.#x[r * k + c]!;
    this.sums.places += n;
    this.#filled = 0;
  }

  /** Adds xᵀ·y, of which it takes rows from `first` on and columns [from, end), to a matrix of `width` columns. */
  async #add(
    to: Float64Array,
    width: number,
    x: FeedTensor,
    y: FeedTensor,
    [first, from, end]: readonly [number, number, number],
  ): Promise<void> {
    const options = { threads: this.#threads, spinning: false, label: 'sums of products' };
    this.#session ??= await openModel(productModel(), options);
    const at = (n: number) => ({ dtype: 'int64' as const, dims: [1], data: BigInt64Array.of(BigInt(n)) });
    const out = await this.#session.run({ x, y, first: at(first), from: at(from), end: at(end) });
    const data = field(out, 'products').data as Float32Array; // a float32 output
    for (let r = 0, i = 0; i < data.length; r++)
      for (let c = from, o = (first + r) * width + from; c < end; c++) to[o++]! += data[i++]!;
  }
}

/** Columns that are computed at a time, so that a product of many has 16 MB. */
function* stripsOf(columns: number, rows: number, widest = Infinity): Generator<[from: number, end: number]> {
  const most = Math.min(widest, Math.max(64, Math.floor(STRIP / Math.max(1, rows))));
  for (let from = 0; from < columns; from += most) yield [from, Math.min(columns, from + most)];
}
const STRIP = 1 << 22;
/** Narrow strips leave out more of what is above the diagonal. */
const HALVED = 192;

/** The rest of a symmetric matrix [k, k], of which what is below the diagonal is known. */
function mirror(matrix: Float64Array, k: number): void {
  for (let i = 0; i < k; i++) for (let j = i + 1; j < k; j++) matrix[i * k + j] = matrix[j * k + i]!;
}

/** Some of xᵀ·y: rows from `first` on, columns [from, end). */
function productModel(): ReturnType<typeof createModel> {
  const model = createModel(new Graph(), 17);
  const b = new GraphBuilder(model);
  const matrix = (name: string): Value => b.input(name, 'float32', [null, null]);
  const [x, y] = [matrix('x'), matrix('y')];
  const [first, from, end] = ['first', 'from', 'end'].map((name) => b.input(name, 'int64', [1]));
  const axis = b.constant(Tensor.i64([1]), 'axis');
  const most = b.constant(Tensor.i64([Number.MAX_SAFE_INTEGER]), 'most');
  const rows = b.op('Slice', [x, first ?? null, most, axis], { name: 'rows' });
  const columns = b.op('Slice', [y, from ?? null, end ?? null, axis], { name: 'columns' });
  const turned = b.op('Transpose', [rows], { attrs: { perm: [1, 0] }, name: 'turned' });
  model.graph.addOutput(b.op('MatMul', [turned, columns], { name: 'products' }));
  return model;
}
