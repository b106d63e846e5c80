/** The protobuf layer: messages from bytes and back, with every failure as a QuantError that says where. */
import protobuf from 'protobufjs/minimal.js';
import { fail, type Where } from '../base/errors.js';
import { bytesIn, PieceWriter, type Pieces } from './piece-writer.js';
import { describeFormat } from './sniff.js';

const { Reader } = protobuf;

/** Reads 64-bit integers that a double holds as numbers: lists of them take 8 bytes an entry, objects 50. */
class ModelReader extends Reader {
  override int64(): Declared {
    return small(super.int64());
  }
  override uint64(): Declared {
    return small(super.uint64());
  }
}
type Declared = ReturnType<protobuf.Reader['int64']>;
function small(value: Declared): Declared {
  const { low, high } = value;
  // `toBigInt` reads both
  return high >= -0x200000 && high < 0x200000 ? ((high * 2 ** 32 + (low >>> 0)) as unknown as Declared) : value;
}

/** The part of a generated message class that this room uses. */
export interface DecodableType<P> {
  decode(reader: protobuf.Reader): P;
}
export interface EncodableType<P> {
  encode(message: P, writer?: protobuf.Writer): protobuf.Writer;
}

/**
 * A message as protobufjs decodes it: absent scalars read as their default, absent lists as empty, and absent messages
 * as undefined. (Its own declarations give children the looser type of what may be encoded.)
 */
export type Decoded<P> = { readonly [K in Exclude<keyof P, '$unknowns'>]-?: DecodedField<NonNullable<P[K]>> };
type DecodedField<V> = V extends readonly (infer E)[]
  ? readonly DecodedItem<E>[]
  : V extends Scalar
    ? V
    : Decoded<V> | undefined;
type DecodedItem<E> = E extends Scalar ? E : Decoded<E>;
type Scalar = string | number | Uint8Array | Int64;

/**
 * The message that `bytes` hold; byte fields are views of `bytes`, unknown fields are kept in `$unknowns`.
 * Throws MODEL_FORMAT with the byte offset, MODEL_LIMIT where messages nest too deep.
 */
export function decodeMessage<P extends object>(
  type: DecodableType<P>,
  bytes: Uint8Array,
  what: string,
  where: Where,
): Decoded<P> {
  // A plain Uint8Array view: for a Buffer, protobufjs would pick its Buffer reader, whose slices are Buffers.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const reader = new ModelReader(plain);
  reader.discardUnknown = false;
  try {
    return type.decode(reader) as Decoded<P>; // see Decoded
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (message.includes('max depth') || (error instanceof RangeError && message.includes('call stack'))) {
      return fail(
        'MODEL_LIMIT',
        `${what} nests messages more than ${Reader.recursionLimit} deep (at byte ${reader.pos})`,
        { ...where, offset: reader.pos },
        'no exporter writes such models; the file may be damaged',
      );
    }
    const seen = describeFormat(plain);
    if (seen)
      return fail('MODEL_FORMAT', `not ${what}: the file is ${seen.what}`, { ...where, offset: 0 }, seen.hint, error);
    return failDamaged(plain, what, where, reader.pos, message);
  }
}

/** The bytes of a message, large byte fields not copied. Throws MODEL_LIMIT where messages nest too deep. */
export function encodePieces<P>(type: EncodableType<P>, message: P): Pieces {
  const writer = new PieceWriter();
  try {
    type.encode(message, writer);
  } catch (error) {
    if (error instanceof Error && error.message.includes('max depth'))
      return fail(
        'MODEL_LIMIT',
        `graphs nest more than ${Reader.recursionLimit} messages deep`,
        undefined,
        undefined,
        error,
      );
    throw error;
  }
  return writer.result();
}

/** The bytes of a message in one array. Throws as {@link encodePieces}. */
export function encodeMessage<P>(type: EncodableType<P>, message: P): Uint8Array {
  const made = encodePieces(type, message);
  const out = new Uint8Array(made.byteLength);
  let at = 0;
  for (const piece of bytesIn(made)) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

/** Tells a cut-off file from trailing garbage from damage inside, by walking the top-level fields alone. */
function failDamaged(bytes: Uint8Array, what: string, where: Where, offset: number, message: string): never {
  const reader = new Reader(bytes);
  let good = 0;
  let fields = 0;
  let cut: { field: number; length: number; left: number } | undefined;
  try {
    while (reader.pos < reader.len) {
      const tag = reader.tag();
      if ((tag & 7) === 2) {
        const length = reader.size();
        const left = reader.len - reader.pos;
        if (length > left) cut = { field: tag >>> 3, length, left };
        else reader.pos += length;
      } else reader.skipType(tag & 7, 0, tag >>> 3);
      if (cut) break;
      good = reader.pos;
      fields++;
    }
  } catch {
    if (fields > 1)
      return fail(
        'MODEL_FORMAT',
        `${what} is followed by ${bytes.length - good} bytes that do not belong to it (from byte ${good})`,
        { ...where, offset: good },
        'the file was appended to or its end is damaged',
        message,
      );
  }
  if (cut && cut.field < 64)
    return fail(
      'MODEL_FORMAT',
      `${what} is cut off: field ${cut.field} at byte ${good} needs ${cut.length} bytes, but only ${cut.left} ` +
        `of the file's ${bytes.length} are left`,
      { ...where, offset: good },
      'download or export the file again',
      message,
    );
  return fail(
    'MODEL_FORMAT',
    `not a valid ${what.replace(/^an? /, '')}: ${message} (at byte ${offset} of ${bytes.length})`,
    { ...where, offset },
    'the file is damaged, or of another format',
    message,
  );
}

/** 64-bit integers as protobufjs hands them out (Long), where they are beyond 2^53, and takes them in. */
export interface Int64 {
  readonly low: number;
  readonly high: number;
}

export function toBigInt(value: unknown): bigint {
  if (typeof value === 'number') return BigInt(value);
  const { low, high } = value as Int64; // protobufjs reads int64 as Long, which has these two fields
  return (BigInt(high) << 32n) | BigInt(low >>> 0);
}
export const toUnsigned = (value: unknown): bigint => BigInt.asUintN(64, toBigInt(value));

/** A bigint in the form that protobufjs writes; typed as number, which its declarations accept. */
export function fromBigInt(value: bigint): number {
  const wrapped = BigInt.asIntN(64, value);
  const long: Int64 & { readonly unsigned: boolean } = {
    low: Number(BigInt.asIntN(32, wrapped)),
    high: Number(wrapped >> 32n),
    unsigned: false,
  };
  return long as unknown as number; // LongBits.from takes any object with low and high
}

/** Properties of a message that this version has no structure for, as an object to spread into the message on save. */
export type Extra = Readonly<Record<string, unknown>>;

/** The named properties that are present and not empty, and unknown fields; undefined where there is none. */
export function keep(message: object, names: readonly string[]): Extra | undefined {
  const from = message as Record<string, unknown>; // generated messages are plain property bags
  const kept: Record<string, unknown> = {};
  for (const name of [...names, '$unknowns']) {
    const value = Object.hasOwn(from, name) ? from[name] : undefined;
    if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) continue;
    kept[name] = value;
  }
  return Object.keys(kept).length ? kept : undefined;
}
/** What `keep` kept, for spreading. */
export const kept = (extra: unknown): Extra => (extra ?? {}) as Extra; // `extra` is only ever set by this room

/** Whether an optional field is present on the wire. */
export const has = (message: object, name: string): boolean => Object.hasOwn(message, name);
