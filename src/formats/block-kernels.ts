/**
 * Rows of matrices read, turned and rounded in WebAssembly memory, where nothing is left for the garbage collector:
 * undefined where it has not been built.
 */
import { existsSync, readFileSync } from 'node:fs';
import { exportsOf } from '../base/wasm.js';
import { dtypeBits } from '../ir/dtype.js';
import { directRows, type RowsOf } from '../ir/rows.js';
import { clipRange } from '../scheme/params.js';
import type { QuantParams, Range } from '../scheme/types.js';

/** Elements of rows that are held at a time, and bytes of their codes. */
const SLAB = 1 << 23;
const PAGE = 65536;
/** Rooms: what is read, rows in float32, codes, and four lists by block. */
const READ = 0;
const ROWS = READ + 4 * SLAB;
const CODES = ROWS + 4 * SLAB;
const LISTS = CODES + SLAB;
/** Blocks of at least 16 elements; the last of a row may be shorter, so that a row of few has twice as many. */
const MOST_BLOCKS = SLAB / 8;
const BYTES = LISTS + 4 * 4 * MOST_BLOCKS;

/** What assembly/blocks.ts exports. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  half(from: number, to: number, n: number): void;
  turn32(from: number, to: number, columns: number, count: number): void;
  turn16(from: number, to: number, columns: number, count: number): void;
  extremes(from: number, rows: number, columns: number, size: number, low: number, high: number): number;
  pack(
    from: number,
    rows: number,
    columns: number,
    size: number,
    bits: number,
    scale: number,
    zero: number,
    low: number,
    high: number,
    to: number,
    rowBytes: number,
    filled: number,
  ): void;
}

/** One user at a time. */
export class BlockKernels {
  readonly #wasm: Exports;
  constructor(module: Uint8Array) {
    this.#wasm = exportsOf(module) as Exports; // the module is built from assembly/blocks.ts
    const have = this.#wasm.memory.buffer.byteLength;
    if (have < BYTES) this.#wasm.memory.grow(Math.ceil((BYTES - have) / PAGE));
  }

  /** Rows of a matrix that fit, a multiple of `multiple`; 0 where the kernels do not take it. */
  rowsOf(m: RowsOf, size: number, multiple: number): number {
    const { dtype } = m.tensor;
    if ((dtype !== 'float32' && dtype !== 'float16') || size < 16 || m.columns > SLAB / multiple) return 0;
    const most = Math.min(Math.floor(SLAB / m.columns), Math.floor(MOST_BLOCKS / Math.ceil(m.columns / size)));
    return most - (most % multiple);
  }

  /** Reads rows; `extremes` and `pack` are of them. */
  read(m: RowsOf, first: number, count: number): void {
    const { tensor, columns, rowStride, columnStride } = directRows(m);
    const width = dtypeBits(tensor.dtype) / 8;
    const half = width === 2;
    const n = count * columns;
    if (columnStride === 1) {
      const into = this.#bytes(half ? READ : ROWS, n * width);
      tensor.range(first * rowStride * width, n * width, 1, n * width, into);
      if (half) this.#wasm.half(READ, ROWS, n);
      return;
    }
    const into = this.#bytes(READ, n * width);
    tensor.range(first * width, count * width, columns, columnStride * width, into);
    if (half) {
      this.#wasm.turn16(READ, READ + 2 * SLAB, columns, count);
      this.#wasm.half(READ + 2 * SLAB, ROWS, n);
    } else this.#wasm.turn32(READ, ROWS, columns, count);
  }

  /** Of the blocks of the rows that were read; undefined where a value is not finite. */
  extremes(rows: number, columns: number, size: number): Range | undefined {
    const count = rows * Math.ceil(columns / size);
    const [low, high] = [this.#list(0), this.#list(1)];
    if (!this.#wasm.extremes(ROWS, rows, columns, size, low, high)) return undefined;
    return { min: new Float64Array(this.#floats(low, count)), max: new Float64Array(this.#floats(high, count)) };
  }

  /** Values of the rows that were read, until others are. */
  values(n: number): Float32Array {
    return this.#floats(ROWS, n);
  }

  /** Codes of the rows that were read, until others are: nearest ones. */
  pack(rows: number, columns: number, params: QuantParams, rowBytes: number, filled: boolean): Uint8Array {
    const { scheme, scale, zeroPoint } = params;
    const bits = dtypeBits(scheme.dtype);
    const up = scheme.dtype.startsWith('u') ? 0 : 2 ** (bits - 1);
    const size = scheme.granularity.kind === 'block' ? scheme.granularity.size : columns;
    const [low, high] = clipRange(scheme);
    const [scales, zeros] = [this.#list(2), this.#list(3)];
    this.#floats(scales, scale.length).set(scale);
    const to = this.#floats(zeros, scale.length);
    for (let i = 0; i < to.length; i++) to[i] = zeroPoint[i]! + up;
    const out = this.#bytes(CODES, rows * rowBytes).fill(0);
    const filling = filled ? 1 : 0;
    this.#wasm.pack(ROWS, rows, columns, size, bits, scales, zeros, low + up, high + up, CODES, rowBytes, filling);
    return out;
  }

  #list(i: number): number {
    return LISTS + 4 * MOST_BLOCKS * i;
  }
  #bytes(at: number, n: number): Uint8Array {
    return new Uint8Array(this.#wasm.memory.buffer, at, n);
  }
  #floats(at: number, n: number): Float32Array {
    return new Float32Array(this.#wasm.memory.buffer, at, n);
  }
}

let loaded: BlockKernels | false | undefined;
/** Compiled on first use; they keep some 90 MB. */
export function blockKernels(): BlockKernels | undefined {
  if (loaded === undefined) loaded = load();
  return loaded || undefined;
}
function load(): BlockKernels | false {
  const file = new URL('../../dist/blocks.wasm', import.meta.url);
  try {
    return existsSync(file) && new BlockKernels(readFileSync(file));
  } catch {
    return false; // an engine without SIMD refuses the module, or there is no room
  }
}
