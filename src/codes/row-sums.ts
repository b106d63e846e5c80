/** Sums of outer products over many feeds: rows are gathered until they are worth a matrix product. */
import type { Value } from '../ir/graph.js';
import { Graph } from '../ir/graph.js';
import { createModel } from '../ir/model.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { openModel } from '../runtime/open.js';
import type { Session } from '../runtime/session.js';

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
  constructor(columns: number, others: number, threads: number) {
    this.#columns = columns;
    this.#threads = threads;
    this.#x = new Float32Array(ROWS * columns);
    this.#y = others ? new Float32Array(ROWS * others) : undefined;
    this.others = new Float64Array(others);
    this.sums = {
      products: new Float64Array(columns * columns),
      cross: new Float64Array(columns * others),
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
    this.#session ??= await openModel(productModel(k, m), {
      threads: this.#threads,
      spinning: false,
      label: 'sums of products',
    });
    const out = await this.#session.run({ x: rows(this.#x, k), ...(this.#y ? { y: rows(this.#y, m) } : {}) });
    accumulate(this.sums.products, out.products!.data as Float32Array); // float32 outputs
    // the graph gives it for a second input, as float32
    if (this.#y) accumulate(this.sums.cross, out.cross!.data as Float32Array);
    for (let r = 0; r < n; r++) for (let c = 0; c < k; c++) this.sums.sums[c]! += this.#x[r * k + c]!;
    if (this.#y) for (let r = 0; r < n; r++) for (let c = 0; c < m; c++) this.others[c]! += this.#y[r * m + c]!;
    this.sums.places += n;
    this.#filled = 0;
  }
}

function productModel(k: number, others: number): ReturnType<typeof createModel> {
  const model = createModel(new Graph(), 17);
  const b = new GraphBuilder(model);
  const input = (name: string, width: number): Value => b.input(name, 'float32', [null, width]);
  const x = input('x', k);
  const turned = b.op('Transpose', [x], { attrs: { perm: [1, 0] }, name: 'turned' });
  model.graph.addOutput(b.op('MatMul', [turned, x], { name: 'products' }));
  if (others) model.graph.addOutput(b.op('MatMul', [turned, input('y', others)], { name: 'cross' }));
  return model;
}

function accumulate(to: Float64Array, from: Float32Array): void {
  for (let i = 0; i < to.length; i++) to[i]! += from[i]!;
}
