/** Bytes of a model: tables, vectors and strings of schema.ts, in a file that is the same for the same model. */
import { Builder } from 'flatbuffers';
import { fail } from '../../base/errors.js';
import { named } from '../../base/lists.js';
import {
  FILE_ID,
  OLD_CODES_END,
  OPERATORS,
  OPTIONS,
  SCHEMA_VERSION,
  TENSOR_TYPES,
  type FieldKind,
  type Operator,
} from './schema.js';
import type { LiteModel, LiteOperator, LiteQuant, LiteTensor } from './tensors.js';
import { versionOf } from './versions.js';

/** Offsets in a flatbuffer are of 31 bits. */
const MOST_BYTES = 2 ** 31 - 2 ** 20;
/** Buffers lie on this many bytes (force_align in the schema), so that kernels can read them in place. */
const ALIGNMENT = 16;

type Kind = FieldKind | 'offset';
type Field = readonly [slot: number, kind: Kind, value: number];

/** The file. Throws EXPORT_UNSUPPORTED beyond 2 GiB, which the format cannot hold. */
export function writeFlatbuffer(model: LiteModel): Uint8Array {
  const tensors = tensorsOf(model);
  const held = tensors.reduce((n, t) => n + (t.data?.byteLength ?? 0), 0);
  if (held > MOST_BYTES)
    fail('EXPORT_UNSUPPORTED', `constants of ${held} bytes do not fit into a .tflite file`, {}, 'quantize the weights');
  return new Writer(model, tensors).bytes();
}

/** All tensors: inputs first, then in the order in which operators name them. */
function tensorsOf({ inputs, outputs, operators }: LiteModel): LiteTensor[] {
  const seen = new Set<LiteTensor>(inputs);
  for (const o of operators) for (const t of [...o.inputs, ...o.outputs]) if (t) seen.add(t);
  for (const t of outputs) seen.add(t);
  return [...seen];
}

class Writer {
  readonly #b = new Builder(1 << 16);
  readonly #model: LiteModel;
  readonly #tensors: readonly LiteTensor[];
  readonly #indices: ReadonlyMap<LiteTensor, number>;
  /** The number of the buffer of data; 0 is the empty one. What several tensors share is stored once. */
  readonly #bufferOf = new Map<Uint8Array, number>();

  constructor(model: LiteModel, tensors: readonly LiteTensor[]) {
    this.#model = model;
    this.#tensors = tensors;
    this.#indices = new Map(tensors.map((t, i) => [t, i]));
    for (const { data } of tensors)
      if (data && !this.#bufferOf.has(data)) this.#bufferOf.set(data, this.#bufferOf.size + 1);
  }

  bytes(): Uint8Array {
    const { operators, name, inputs, outputs } = this.#model;
    const codes = new Map<string, readonly [index: number, op: Operator, version: number]>();
    const opcodeOf = new Map<LiteOperator, number>();
    for (const o of operators) {
      const version = versionOf(o);
      const key = `${o.op} ${version}`;
      const known = codes.get(key) ?? ([codes.size, o.op, version] as const);
      codes.set(key, known);
      opcodeOf.set(o, known[0]);
    }
    // Written from the back: what is written first lies last. Data go there, so that the graph is read at once.
    const buffers = this.#offsets([this.#table([]), ...[...this.#bufferOf.keys()].map((d) => this.#buffer(d))]);
    const tensors = this.#offsets(this.#tensors.map((t) => this.#tensor(t)));
    const nodes = this.#offsets(operators.map((o) => this.#operator(o, named(opcodeOf, o))));
    const graph = this.#table([
      [0, 'offset', tensors],
      [1, 'offset', this.#indexVector(inputs)],
      [2, 'offset', this.#indexVector(outputs)],
      [3, 'offset', nodes],
      [4, 'offset', this.#b.createString(name)],
    ]);
    const opcodes = this.#offsets(
      [...codes.values()].map(([, op, version]) => {
        const [code] = OPERATORS[op];
        return this.#table([
          [0, 'int8', Math.min(code, OLD_CODES_END)],
          [2, 'int32', version],
          [3, 'int32', code],
        ]);
      }),
    );
    const root = this.#table([
      [0, 'int32', SCHEMA_VERSION],
      [1, 'offset', opcodes],
      [2, 'offset', this.#offsets([graph])],
      [3, 'offset', this.#b.createString('quantbench')],
      [4, 'offset', buffers],
      [7, 'offset', this.#offsets([this.#signature()])],
    ]);
    this.#b.finish(root, FILE_ID);
    return this.#b.asUint8Array();
  }

  #tensor({ name, type, shape, quant, data }: LiteTensor): number {
    const fields: Field[] = [
      [0, 'offset', this.#ints(shape)],
      [1, 'int8', TENSOR_TYPES[type]],
      [2, 'int32', data ? named(this.#bufferOf, data) : 0],
      [3, 'offset', this.#b.createString(name)],
    ];
    if (quant) fields.push([4, 'offset', this.#quantization(quant)]);
    return this.#table(fields);
  }

  #quantization({ scale, zeroPoint, axis }: LiteQuant): number {
    const b = this.#b;
    b.startVector(4, scale.length, 4);
    for (let i = scale.length - 1; i >= 0; i--) b.addFloat32(scale[i]!);
    const scales = b.endVector();
    b.startVector(8, zeroPoint.length, 8);
    for (let i = zeroPoint.length - 1; i >= 0; i--) b.addInt64(BigInt(zeroPoint[i]!));
    const zeros = b.endVector();
    return this.#table([
      [2, 'offset', scales],
      [3, 'offset', zeros],
      [6, 'int32', axis],
    ]);
  }

  #operator({ op, inputs, outputs, options }: LiteOperator, opcode: number): number {
    const [, tableName] = OPERATORS[op] as readonly [number, (keyof typeof OPTIONS)?]; // some have no options
    const fields: Field[] = [
      [0, 'int32', opcode],
      [1, 'offset', this.#indexVector(inputs)],
      [2, 'offset', this.#indexVector(outputs)],
    ];
    if (tableName) {
      const {
        type,
        fields: known,
      }: { readonly type: number; readonly fields: Readonly<Record<string, readonly [number, FieldKind]>> } =
        OPTIONS[tableName];
      const values = Object.entries(known).map(([key, [slot, kind]]): Field => [slot, kind, Number(options[key] ?? 0)]);
      fields.push([3, 'int8', type], [4, 'offset', this.#table(values)]);
    }
    return this.#table(fields);
  }

  /** Inputs and outputs by the names of the ONNX model, as `get_signature_runner` and its like give them. */
  #signature(): number {
    const names = (list: readonly LiteTensor[]): number =>
      this.#offsets(
        list.map((t) =>
          this.#table([
            [0, 'offset', this.#b.createString(t.name)],
            [1, 'int32', named(this.#indices, t)],
          ]),
        ),
      );
    return this.#table([
      [0, 'offset', names(this.#model.inputs)],
      [1, 'offset', names(this.#model.outputs)],
      [2, 'offset', this.#b.createString('serving_default')],
      [4, 'int32', 0],
    ]);
  }

  #buffer(data: Uint8Array): number {
    this.#b.prep(ALIGNMENT, data.byteLength);
    return this.#table([[0, 'offset', this.#b.createByteVector(data)]]);
  }

  #indexVector(list: readonly (LiteTensor | undefined)[]): number {
    return this.#ints(list.map((t) => (t ? named(this.#indices, t) : -1)));
  }
  #ints(values: readonly number[]): number {
    const b = this.#b;
    b.startVector(4, values.length, 4);
    for (let i = values.length - 1; i >= 0; i--) b.addInt32(values[i]!);
    return b.endVector();
  }
  #offsets(values: readonly number[]): number {
    const b = this.#b;
    b.startVector(4, values.length, 4);
    for (let i = values.length - 1; i >= 0; i--) b.addOffset(values[i]!);
    return b.endVector();
  }

  /** A table with all that is given, defaults too: some readers look at whether a field is there. */
  #table(fields: readonly Field[]): number {
    const b = this.#b;
    b.startObject(Math.max(0, ...fields.map(([slot]) => slot + 1)));
    for (const [slot, kind, value] of fields) {
      if (kind === 'offset') b.addFieldOffset(slot, value, 0);
      else if (kind === 'int8') b.addFieldInt8(slot, value, null);
      else if (kind === 'int32') b.addFieldInt32(slot, value, null);
      else b.addFieldFloat32(slot, value, null);
    }
    return b.endObject();
  }
}
