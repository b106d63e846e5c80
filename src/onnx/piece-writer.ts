import protobuf from 'protobufjs/minimal.js';
import type { ByteSource } from '../ir/tensor.js';

/**
 * A serialized message in pieces: large byte fields as they lie in memory, or {@link LaterBytes}; what is around them
 * in between.
 */
export interface Pieces {
  readonly byteLength: number;
  readonly pieces: readonly Uint8Array[];
}

/** An empty array in the place of bytes that are read, or made, while they are written. */
export class LaterBytes extends Uint8Array {
  readonly source: ByteSource;
  constructor(source: ByteSource) {
    super(0);
    this.source = source;
  }
}

/** All bytes of a message, in order. */
export function* bytesIn({ pieces }: Pieces): Generator<Uint8Array> {
  for (const piece of pieces) {
    if (piece instanceof LaterBytes) yield* piece.source.pieces?.() ?? [piece.source.read()];
    else yield piece;
  }
}

/** Byte fields from this size stay where they are; copying smaller ones is cheaper than a piece more to write. */
export const ASIDE_BYTES = 1 << 16;

/**
 * A protobuf writer that leaves large byte fields where they lie. The plain one copies 100 MB of weights into a buffer
 * that doubles, and moves all of it at the end of every message around it, when the length in front turns out long.
 */
export class PieceWriter extends protobuf.Writer {
  /** Byte fields left aside, each to be put in at `at` of the buffer. */
  readonly #aside: { at: number; readonly bytes: Uint8Array }[] = [];
  #asideBytes = 0;
  /** How things stood at each open fork. */
  readonly #marks: { readonly count: number; readonly bytes: number }[] = [];

  override bytes(value: Uint8Array | string): protobuf.Writer {
    const length = value instanceof LaterBytes ? value.source.byteLength : value.length;
    if (typeof value === 'string' || length < ASIDE_BYTES) return super.bytes(value);
    this.uint32(length);
    this.#aside.push({ at: this.pos, bytes: value });
    this.#asideBytes += length;
    return this;
  }

  override fork(): protobuf.Writer {
    this.#marks.push({ count: this.#aside.length, bytes: this.#asideBytes });
    return super.fork();
  }

  /** Puts the message's length, bytes aside included, in front of it: one byte is reserved there, the rest moves up. */
  override ldelim(): protobuf.Writer {
    const mark = this.#marks.pop();
    const start = this.states?.at(-1);
    if (!mark || start === undefined || mark.bytes === this.#asideBytes) return super.ldelim();
    this.states!.pop(); // start came from it
    const end = this.pos;
    const length = varint(end - start - 1 + this.#asideBytes - mark.bytes);
    for (let i = 1; i < length.length; i++) this.uint32(0); // a byte each, which makes room
    this.buf.copyWithin(start + length.length, start + 1, end);
    this.buf.set(length, start);
    for (let i = mark.count; i < this.#aside.length; i++) this.#aside[i]!.at += length.length - 1; // i is an index
    return this;
  }

  /** All that was written; views, so that nothing may be written afterwards. */
  result(): Pieces {
    const pieces: Uint8Array[] = [];
    let from = 0;
    for (const { at, bytes } of this.#aside) {
      pieces.push(this.buf.subarray(from, at), bytes);
      from = at;
    }
    pieces.push(this.buf.subarray(from, this.pos));
    return { byteLength: this.pos + this.#asideBytes, pieces };
  }
}

function varint(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) out.push((rest % 128) + 128);
  return [...out, rest];
}
