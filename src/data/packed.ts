/** Samples that were read and decoded once, and are taken again and again. */
import { closeSync, openSync, rmSync } from 'node:fs';
import path from 'node:path';
import { createHash } from 'node:crypto';
import { temporaryFolder } from '../base/environment-errors.js';
import { fail } from '../base/errors.js';
import { readAll, writeAll } from '../base/files.js';
import { item } from '../base/lists.js';
import type { Feed, FeedTensor, Sample, TypedArray } from '../ir/feed.js';
import { arrayOf } from './feeds.js';

export interface PackOptions {
  /** Beyond so many bytes, samples lie in a temporary file. Default: 1.5 GB. */
  readonly memoryBytes?: number;
  readonly onSample?: (done: number) => void;
  /** Dataset.padding: samples may differ along axis 1, and are filled up to the longest of all at its end. */
  readonly padding?: Readonly<Record<string, number>> | undefined;
}

/** One tensor of all samples. */
interface Column {
  readonly name: string;
  readonly dtype: FeedTensor['dtype'];
  /** Without the axis of samples; the first is that of the longest so far, where lengths may differ. */
  dims: number[];
  /** What shorter ones are filled with. */
  readonly fill: number | undefined;
}
const sizeOf = ({ dims }: Column): number => dims.reduce((n, d) => n * d, 1);

/**
 * All samples of a dataset, packed: each has the same tensors, of the same shapes but for lengths that are padded. The
 * feeds of a sample that has several, such as the sentences of a pair, are rows of their own, without its label.
 */
export class PackedSamples {
  readonly count: number;
  readonly ids: readonly string[];
  readonly labels: Int32Array | Float64Array | undefined;
  /** A hash of what the samples are, and of their order. */
  readonly hash: string;
  readonly #columns: readonly Column[];
  readonly #store: Store;

  private constructor(
    rows: { ids: string[]; labels: number[]; hash: string },
    columns: readonly Column[],
    store: Store,
  ) {
    this.count = rows.ids.length;
    this.ids = rows.ids;
    this.hash = rows.hash;
    this.labels = rows.labels.length ? Float64Array.from(rows.labels) : undefined;
    this.#columns = columns;
    this.#store = store;
  }

  /**
   * Reads all samples once. Throws DATA_SHAPE for samples of several shapes, or of strings, and where only some have
   * labels.
   */
  static async read(samples: AsyncIterable<Sample>, o: PackOptions = {}): Promise<PackedSamples> {
    const rows = { ids: [] as string[], labels: [] as number[] };
    const hash = createHash('sha256');
    let columns: readonly Column[] | undefined;
    let store: Store | undefined;
    let done = 0;
    for await (const sample of samples) {
      for (const { feed, id } of rowsOf(sample)) {
        columns ??= columnsOf(feed, sample, o.padding);
        store ??= new Store(columns, o.memoryBytes ?? 1.5e9);
        store.add(columns.map((c) => checked(feed, c, sample)));
        rows.ids.push(id);
      }
      if (sample.label !== undefined && sample.feeds.length === 1) rows.labels.push(sample.label);
      if (rows.labels.length !== 0 && rows.labels.length !== rows.ids.length)
        fail('DATA_LABEL', `'${sample.id}' and others have no label, but some have`, { sample: sample.id });
      hash.update(`${sample.id} ${sample.hash} ${sample.label ?? ''}\n`);
      o.onSample?.(++done);
    }
    if (!columns || !store) return fail('DATA_MISSING', 'there is no sample to learn from');
    return new PackedSamples({ ...rows, hash: hash.digest('hex') }, columns, store);
  }

  /** Tensors of some samples under each other, in that order. */
  feed(indices: ArrayLike<number>): Feed {
    return Object.fromEntries(
      this.#columns.map((c, at) => {
        const each = sizeOf(c);
        const data = newArray(c, indices.length * each);
        if (c.fill) data.fill((data instanceof BigInt64Array ? BigInt(c.fill) : c.fill) as never); // of its own kind
        for (let i = 0; i < indices.length; i++) this.#store.read(item(indices, i), at, data, i * each);
        return [c.name, { dtype: c.dtype, dims: [indices.length, ...c.dims], data }];
      }),
    );
  }
  /** Frees what is kept. */
  close(): void {
    this.#store.close();
  }
}

/** Each feed of a sample, and what else the data give for it, such as what outputs should be. */
function rowsOf({ feeds, target, id }: Sample): { readonly feed: Feed; readonly id: string }[] {
  if (!feeds.length) fail('DATA_SHAPE', `'${id}' has no feed`, { sample: id }, 'leave it out, or give it tensors');
  if (feeds.length > 1 && target?.tensors)
    fail(
      'DATA_SHAPE',
      `'${id}' has ${feeds.length} feeds, and tensors that they are held against`,
      { sample: id },
      'give a feed a sample of its own, so that it is known what belongs to which',
    );
  return feeds.map((feed, i) => ({
    feed: { ...feed, ...target?.tensors },
    id: feeds.length > 1 ? `${id} (${i + 1})` : id,
  }));
}
const columnsOf = (feed: Feed, { id }: Sample, padding: PackOptions['padding']): Column[] =>
  Object.entries(feed).map(([name, { dtype, dims }]) => {
    if (dims[0] !== 1)
      fail(
        'DATA_SHAPE',
        `'${id}' holds a whole batch of '${name}'`,
        { sample: id, tensor: name },
        'give single samples',
      );
    return { name, dtype, dims: dims.slice(1), fill: padding && dims.length > 1 ? (padding[name] ?? 0) : undefined };
  });
/** The data of a sample's tensor. A column grows with its longest. */
function checked(feed: Feed, column: Column, { id }: Sample): TypedArray {
  const { name, dtype, dims, fill } = column;
  const t = feed[name];
  const padded = fill !== undefined;
  const [own, known] = [t?.dims.slice(1) ?? [], dims].map((d) => (padded ? d.slice(1) : d).join());
  if (t?.dtype !== dtype || t.dims.length !== dims.length + 1 || own !== known || !ArrayBuffer.isView(t.data))
    return fail(
      'DATA_SHAPE',
      `'${id}' has '${name}' as ${t ? `${t.dtype} [${t.dims.join(', ')}]` : 'nothing'}, those before as ${dtype} [1, ` +
        `${dims.join(', ')}]`,
      { sample: id, tensor: name },
      'training takes samples of one shape: resize or crop them; texts are filled up with `padTo: longest`',
    );
  if (padded) dims[0] = Math.max(item(dims, 0), item(t.dims, 1));
  return t.data;
}
function newArray({ dtype, name }: Column, size: number): TypedArray {
  return arrayOf(dtype, size) ?? fail('DATA_SHAPE', `'${name}' is ${dtype}, which cannot be packed`, { tensor: name });
}

/** Distinct values of a column that codes of 16 bits can tell apart. */
const PALETTE = 1 << 16;

/** Where a tensor lies in the file: codes, or values. */
interface Place {
  readonly at: number;
  readonly coded: boolean;
  readonly length: number;
}

/**
 * Samples one after the other. Floats of few distinct values, as pixels are, take two bytes; and what does not fit in
 * memory lies in a file without a name.
 */
class Store {
  readonly #columns: readonly Column[];
  readonly #memoryBytes: number;
  readonly #rows: (TypedArray | undefined)[][] = [];
  readonly #palettes: (Palette | undefined)[];
  #bytes = 0;
  #file: { readonly fd: number; readonly places: Map<number, Place[]>; end: number } | undefined;

  constructor(columns: readonly Column[], memoryBytes: number) {
    this.#columns = columns;
    this.#memoryBytes = memoryBytes;
    this.#palettes = columns.map((c) => (c.dtype === 'float32' ? new Palette() : undefined));
  }
  add(data: readonly TypedArray[]): void {
    const packed = data.map((d, at) => (d instanceof Float32Array && this.#palettes[at]?.encode(d)) || d.slice());
    const bytes = packed.reduce((n, d) => n + d.byteLength, 0);
    if (this.#bytes + bytes <= this.#memoryBytes) {
      this.#bytes += bytes;
      this.#rows.push(packed);
      return;
    }
    this.#file ??= { fd: openUnnamed(), places: new Map(), end: 0 };
    const file = this.#file;
    const places: Place[] = [];
    for (const d of packed) {
      places.push({ at: file.end, coded: d instanceof Uint16Array, length: d.length });
      writeAll(file.fd, new Uint8Array(d.buffer, d.byteOffset, d.byteLength), file.end);
      file.end += d.byteLength;
    }
    file.places.set(this.#rows.length, places);
    this.#rows.push([]);
  }
  /** Copies a sample's tensor to a place of an array. */
  read(row: number, at: number, out: TypedArray, offset: number): void {
    const column = item(this.#columns, at);
    const data = item(this.#rows, row)[at] ?? this.#fromFile(row, at, column);
    const palette = this.#palettes[at];
    if (data instanceof Uint16Array && palette && out instanceof Float32Array) palette.decode(data, out, offset);
    else if (out instanceof BigInt64Array || out instanceof BigUint64Array)
      out.set(data as BigInt64Array, offset); // one type per column
    else out.set(data as Float32Array, offset); // any array of numbers; one type per column
  }
  #fromFile(row: number, at: number, column: Column): TypedArray {
    const file = this.#file ?? fail('INTERNAL', 'bug in quantbench: a sample lies nowhere');
    const place = item(file.places.get(row) ?? [], at);
    const data = place.coded ? new Uint16Array(place.length) : newArray(column, place.length);
    readAll(file.fd, new Uint8Array(data.buffer), place.at);
    return data;
  }
  close(): void {
    if (this.#file) closeSync(this.#file.fd);
    this.#file = undefined;
    this.#rows.length = 0;
  }
}

/** A file that is gone when it is closed, or the process ends. */
function openUnnamed(): number {
  const folder = temporaryFolder();
  try {
    return openSync(path.join(folder, 'samples'), 'wx+', 0o600);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Codes of floats by their bits; full once there are more than 16 bits can tell apart. */
class Palette {
  readonly #values = new Float32Array(PALETTE);
  /** Open addressing: code + 1 at the place that the bits hash to, or behind it. */
  readonly #table = new Int32Array(4 * PALETTE);
  readonly #bits = new Int32Array(this.#values.buffer);
  #count = 0;
  #full = false;

  encode(data: Float32Array): Uint16Array | undefined {
    if (this.#full) return undefined;
    const bits = new Int32Array(data.slice().buffer);
    const out = new Uint16Array(bits.length);
    const mask = this.#table.length - 1;
    for (let i = 0; i < bits.length; i++) {
      const b = bits[i] ?? 0;
      let at = (Math.imul(b, 0x9e3779b1) >>> 14) & mask;
      let code = (this.#table[at] ?? 0) - 1;
      while (code >= 0 && this.#bits[code] !== b) {
        at = (at + 1) & mask;
        code = (this.#table[at] ?? 0) - 1;
      }
      if (code < 0) {
        if (this.#count === PALETTE) {
          this.#full = true;
          return undefined;
        }
        code = this.#count++;
        this.#bits[code] = b;
        this.#table[at] = code + 1;
      }
      out[i] = code;
    }
    return out;
  }
  decode(codes: Uint16Array, out: Float32Array, offset: number): void {
    const values = this.#values;
    for (let i = 0; i < codes.length; i++) out[offset + i] = values[codes[i] ?? 0] ?? 0;
  }
}
