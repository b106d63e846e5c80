/**
 * Node messages of a file as places in it, decoded again when they are asked for: all of them at once would take more
 * memory than the graph that is made of them.
 */
import type protobuf from 'protobufjs/minimal.js';
import type { NodeMessage } from './messages.js';
import { onnx } from './proto.js';

type Decode = typeof onnx.NodeProto.decode;
type Decoded = ReturnType<Decode>;

class NodePart {
  readonly #reader: protobuf.Reader;
  readonly #start: number;
  readonly #length: number;
  readonly #depth: number;
  constructor(reader: protobuf.Reader, start: number, depth: number) {
    this.#reader = reader;
    this.#start = start;
    this.#length = reader.pos - start;
    this.#depth = depth;
  }
  open(): NodeMessage {
    this.#reader.pos = this.#start;
    // what the generated class gives is a decoded message: see Decoded
    return nodeAt(onnx.NodeProto.decode, this.#reader, this.#length, this.#depth) as unknown as NodeMessage;
  }
}

/** The generated decoders hand on how deep they are, which their declarations leave out. */
const nodeAt = (decode: Decode, reader: protobuf.Reader, length: number, depth: number): Decoded =>
  (decode as (...all: unknown[]) => Decoded)(reader, length, undefined, depth);

/**
 * What `decode` gives, with {@link opened} to be called for each node message in it. Nodes are read through once, so
 * that a damaged one throws here and not later.
 */
export function withNodeParts<T>(decode: () => T): T {
  const whole: Decode = onnx.NodeProto.decode;
  onnx.NodeProto.decode = (reader, length, ...rest: unknown[]) => {
    if (!('pos' in reader) || length === undefined) return whole(reader, length);
    const start = reader.pos;
    const depth = typeof rest[1] === 'number' ? rest[1] : 0;
    nodeAt(whole, reader, length, depth);
    return new NodePart(reader, start, depth) as unknown as Decoded; // `opened` tells the two apart
  };
  try {
    return decode();
  } finally {
    onnx.NodeProto.decode = whole;
  }
}

/** The message of a node of a decoded graph. */
export const opened = (message: NodeMessage): NodeMessage =>
  message instanceof NodePart ? (message as NodePart).open() : message;
