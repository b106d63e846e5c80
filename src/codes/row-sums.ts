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
 * Σ x·xᵀ, Σ x·yᵀ and Σ x over rows x and y of `columns` float32 numbers each. The products are computed in float32,
 * `ROWS` at a time, and summed in float64.
 */
export class RowSums {
  readonly sums: {
    readonly products: Float64Array;
    readonly cross: Float64Array;
    readonly sums: Float64Array;
    places: number;
  };
  readonly #columns: number;
  readonly #threads: number;
  readonly #x: Float32Array;
  readonly #y: Float32Array | undefined;
  #filled = 0;
  #session: Session | undefined;

  constructor(columns: number, cross: boolean, threads: number) {
    this.#columns = columns;
    this.#threads = threads;
    this.#x = new Float32Array(ROWS * columns);
    this.#y = cross ? new Float32Array(ROWS * columns) : undefined;
    this.sums = {
      products: new Float64Array(columns * columns),
      cross: new Float64Array(cross ? columns * columns : 0),
      sums: new Float64Array(columns),
      places: 0,
    };
  }

  /** `y` has as many rows as `x`; absent without cross products. */
  async add(x: Float32Array, y: Float32Array | undefined): Promise<void> {
    const k = this.#columns;
    for (let from = 0, rows = x.length / k; from < rows;) {
      const count = Math.min(rows - from, ROWS - this.#filled);
      this.#x.set(x.subarray(from * k, (from + count) * k), this.#filled * k);
      if (y) this.#y?.set(y.subarray(from * k, (from + count) * k), this.#filled * k);
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
    const k = this.#columns;
    const n = this.#filled;
    const rows = (data: Float32Array) => ({ dtype: 'float32' as const, dims: [n, k], data: data.subarray(0, n * k) });
    this.#session ??= await openModel(productModel(k, this.#y !== undefined), {
      threads: this.#threads,
      spinning: false,
      label: 'sums of products',
    });
    const out = await this.#session.run({ x: rows(this.#x), ...(this.#y ? { y: rows(this.#y) } : {}) });
    accumulate(this.sums.products, out.products!.data as Float32Array); // float32 outputs
    // the graph gives it for a second input, as float32
    if (this.#y) accumulate(this.sums.cross, out.cross!.data as Float32Array);
    for (let r = 0; r < n; r++) for (let c = 0; c < k; c++) this.sums.sums[c]! += this.#x[r * k + c]!;
    this.sums.places += n;
    this.#filled = 0;
  }
}

function productModel(k: number, cross: boolean): ReturnType<typeof createModel> {
  const model = createModel(new Graph(), 17);
  const b = new GraphBuilder(model);
  const input = (name: string): Value => b.input(name, 'float32', [null, k]);
  const x = input('x');
  const turned = b.op('Transpose', [x], { attrs: { perm: [1, 0] }, name: 'turned' });
  model.graph.addOutput(b.op('MatMul', [turned, x], { name: 'products' }));
  if (cross) model.graph.addOutput(b.op('MatMul', [turned, input('y')], { name: 'cross' }));
  return model;
}

function accumulate(to: Float64Array, from: Float32Array): void {
  for (let i = 0; i < to.length; i++) to[i]! += from[i]!;
}
