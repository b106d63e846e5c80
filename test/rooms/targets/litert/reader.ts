/** Reads a flatbuffer by slots, independently of what writes it. https://flatbuffers.dev/internals */
export class Table {
  readonly #view: DataView;
  readonly #at: number;
  constructor(view: DataView, at: number) {
    this.#view = view;
    this.#at = at;
  }
  /** The root of a file. */
  static root(bytes: Uint8Array): Table {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return new Table(view, view.getUint32(0, true));
  }
  #field(slot: number): number | undefined {
    const vtable = this.#at - this.#view.getInt32(this.#at, true);
    const place = 4 + 2 * slot;
    if (place >= this.#view.getUint16(vtable, true)) return undefined;
    const offset = this.#view.getUint16(vtable + place, true);
    return offset ? this.#at + offset : undefined;
  }
  int8(slot: number): number | undefined {
    const at = this.#field(slot);
    return at === undefined ? undefined : this.#view.getInt8(at);
  }
  int32(slot: number): number | undefined {
    const at = this.#field(slot);
    return at === undefined ? undefined : this.#view.getInt32(at, true);
  }
  float32(slot: number): number | undefined {
    const at = this.#field(slot);
    return at === undefined ? undefined : this.#view.getFloat32(at, true);
  }
  #target(slot: number): number | undefined {
    const at = this.#field(slot);
    return at === undefined ? undefined : at + this.#view.getUint32(at, true);
  }
  table(slot: number): Table | undefined {
    const at = this.#target(slot);
    return at === undefined ? undefined : new Table(this.#view, at);
  }
  #list<T>(slot: number, size: number, read: (at: number) => T): T[] {
    const at = this.#target(slot);
    if (at === undefined) return [];
    return Array.from({ length: this.#view.getUint32(at, true) }, (_, i) => read(at + 4 + size * i));
  }
  tables(slot: number): Table[] {
    return this.#list(slot, 4, (at) => new Table(this.#view, at + this.#view.getUint32(at, true)));
  }
  int32s(slot: number): number[] {
    return this.#list(slot, 4, (at) => this.#view.getInt32(at, true));
  }
  int64s(slot: number): number[] {
    return this.#list(slot, 8, (at) => Number(this.#view.getBigInt64(at, true)));
  }
  float32s(slot: number): number[] {
    return this.#list(slot, 4, (at) => this.#view.getFloat32(at, true));
  }
  bytes(slot: number): Uint8Array {
    return Uint8Array.from(this.#list(slot, 1, (at) => this.#view.getUint8(at)));
  }
  /** Where the elements of a vector lie in the file. */
  place(slot: number): number | undefined {
    const at = this.#target(slot);
    return at === undefined ? undefined : at + 4;
  }
  string(slot: number): string {
    return new TextDecoder().decode(this.bytes(slot));
  }
}

/** A tensor of a file as tests ask for it: types by their numbers in the schema. */
export interface ReadTensor {
  readonly name: string;
  readonly type: number;
  readonly shape: readonly number[];
  readonly scale: readonly number[];
  readonly zeroPoint: readonly number[];
  readonly axis: number;
  readonly data: Uint8Array;
}
export interface ReadOperator {
  readonly code: number;
  readonly version: number;
  readonly inputs: readonly (ReadTensor | undefined)[];
  readonly outputs: readonly (ReadTensor | undefined)[];
  readonly optionsType: number;
  readonly options: Table | undefined;
}
export interface ReadModel {
  readonly inputs: readonly (ReadTensor | undefined)[];
  readonly outputs: readonly (ReadTensor | undefined)[];
  readonly operators: readonly ReadOperator[];
  readonly root: Table;
}

export function readModel(bytes: Uint8Array): ReadModel {
  const root = Table.root(bytes);
  const buffers = root.tables(4);
  const [graph] = root.tables(2);
  if (!graph) throw new Error('a model has a graph');
  const tensors = graph.tables(0).map((t): ReadTensor => {
    const quant = t.table(4);
    return {
      name: t.string(3),
      type: t.int8(1) ?? 0,
      shape: t.int32s(0),
      scale: quant?.float32s(2) ?? [],
      zeroPoint: quant?.int64s(3) ?? [],
      axis: quant?.int32(6) ?? 0,
      data: buffers[t.int32(2) ?? 0]?.bytes(0) ?? new Uint8Array(),
    };
  });
  const codes = root.tables(1);
  const at = (i: number): ReadTensor | undefined => tensors[i];
  return {
    root,
    inputs: graph.int32s(1).map(at),
    outputs: graph.int32s(2).map(at),
    operators: graph.tables(3).map((o): ReadOperator => {
      const code = codes[o.int32(0) ?? 0];
      return {
        code: code?.int32(3) ?? 0,
        version: code?.int32(2) ?? 0,
        inputs: o.int32s(1).map(at),
        outputs: o.int32s(2).map(at),
        optionsType: o.int8(3) ?? 0,
        options: o.table(4),
      };
    }),
  };
}
