/**
 * What decoding a model would take in memory, estimated from the wire before anything is decoded: an empty message of
 * two bytes becomes objects of a thousand, so that a file of some megabytes could fill all memory there is.
 */
import { fail, type Where } from '../base/errors.js';
import { bytesText } from '../base/text.js';

/**
 * A message: bytes that one of them takes here (measured, that of the ir objects made from it included), and its
 * fields.
 */
interface Message {
  readonly bytes: number;
  readonly fields: Readonly<Record<number, Field>>;
}
/**
 * A field: its message, or bytes for each value of it, or for each entry of a packed list (of `width` bytes;
 * varints without).
 */
type Field = (() => Message) | number | { readonly packed: number; readonly width?: 4 | 8 };

/** A plain field that occurs once costs nothing of its own. */
const once = (...numbers: readonly number[]): Record<number, Field> => Object.fromEntries(numbers.map((n) => [n, 0]));
const STRING = 60;
const BYTES = 180;
const UNKNOWN = 150;

const entry = (): Message => ENTRY;
const ENTRY: Message = { bytes: 150, fields: once(1, 2) };
const tensor = (): Message => TENSOR;
const TENSOR: Message = {
  bytes: 900,
  fields: {
    ...once(2, 3, 8, 9, 12, 14),
    1: { packed: 24 },
    4: { packed: 12, width: 4 },
    5: { packed: 12 },
    6: BYTES,
    7: { packed: 24 },
    10: { packed: 16, width: 8 },
    11: { packed: 24 },
    13: entry,
    16: entry,
  },
};
const sparse = (): Message => SPARSE;
const SPARSE: Message = { bytes: 900, fields: { 1: tensor, 2: tensor, 3: { packed: 24 } } };
const dim = (): Message => DIM;
const DIM: Message = { bytes: 120, fields: once(1, 2, 3) };
const shape = (): Message => SHAPE;
const SHAPE: Message = { bytes: 150, fields: { 1: dim } };
const typed = (): Message => TYPED;
const TYPED: Message = { bytes: 120, fields: { ...once(1), 2: shape } };
const type = (): Message => TYPE;
const inner = (): Message => INNER;
const INNER: Message = { bytes: 120, fields: { 1: type, 2: type } };
const TYPE: Message = { bytes: 150, fields: { ...once(6, 7), 1: typed, 4: inner, 5: inner, 8: typed, 9: inner } };
const valueInfo = (): Message => VALUE_INFO;
const VALUE_INFO: Message = { bytes: 300, fields: { ...once(1, 3), 2: type, 4: entry } };
const attribute = (): Message => ATTRIBUTE;
const graph = (): Message => GRAPH;
const ATTRIBUTE: Message = {
  bytes: 600,
  fields: {
    ...once(1, 2, 3, 4, 13, 20, 21),
    5: tensor,
    6: graph,
    7: { packed: 16, width: 4 },
    8: { packed: 48 },
    9: BYTES,
    10: tensor,
    11: graph,
    14: type,
    15: type,
    22: sparse,
    23: sparse,
  },
};
const node = (): Message => NODE;
const NODE: Message = {
  bytes: 1600,
  fields: { ...once(3, 4, 6, 7, 8), 1: 100, 2: 4 * STRING, 5: attribute, 9: entry, 10: entry },
};
const annotation = (): Message => ({ bytes: 150, fields: { ...once(1), 2: entry } });
const GRAPH: Message = {
  bytes: 2500,
  fields: {
    ...once(2, 10),
    1: node,
    5: tensor,
    11: valueInfo,
    12: valueInfo,
    13: valueInfo,
    14: annotation,
    15: sparse,
    16: entry,
  },
};
const functionMessage = (): Message => FUNCTION;
const FUNCTION: Message = {
  bytes: 3000,
  fields: {
    ...once(1, 8, 10, 13),
    4: 4 * STRING,
    5: STRING,
    6: STRING,
    7: node,
    9: entry,
    11: attribute,
    12: valueInfo,
    14: entry,
  },
};
const MODEL: Message = {
  bytes: 0,
  fields: {
    ...once(1, 2, 3, 4, 5, 6),
    7: graph,
    8: entry,
    14: entry,
    20: () => ({ bytes: 300, fields: { 1: graph, 2: graph, 3: entry, 4: entry } }),
    25: functionMessage,
    26: entry,
  },
};

const MAX_DEPTH = 100;
/** What any model may take, and how many times its own size. */
const FREE_BYTES = 150e6;
const TIMES = 40;

/** Throws MODEL_LIMIT for a model whose many small messages would take far more memory than the file has bytes. */
export function refuseInflation(bytes: Uint8Array, where: Where): void {
  const limit = FREE_BYTES + TIMES * bytes.length;
  const total = footprint(bytes, limit);
  if (total <= limit) return;
  fail(
    'MODEL_LIMIT',
    `the file of ${bytesText(bytes.length)} holds so many small messages that it would take more than ` +
      `${bytesText(limit)} of memory`,
    where,
    'no exporter writes such models; the file may be damaged',
  );
}

/** Estimated bytes; it stops counting beyond `limit`, and at bytes that are no protobuf, which decoding tells of. */
function footprint(bytes: Uint8Array, limit: number): number {
  let total = 0;
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; at < bytes.length; scale *= 128) {
      const b = bytes[at++]!; // at is inside
      value += (b & 127) * scale;
      if (b < 128 || scale > 2 ** 63) break;
    }
    return value;
  };
  const message = ({ bytes: own, fields }: Message, end: number, depth: number): boolean => {
    total += own;
    while (at < end) {
      const tag = varint();
      const field = fields[Math.floor(tag / 8)] ?? UNKNOWN;
      const wire = tag % 8;
      if (wire === 2) {
        const length = varint();
        const to = at + length;
        if (to > end) return false;
        if (typeof field === 'function') {
          if (depth > MAX_DEPTH || !message(field(), to, depth + 1)) return false;
        } else
          total +=
            typeof field === 'number'
              ? field
              : field.packed * (field.width ? length / field.width : varintsIn(bytes, at, to));
        at = to;
      } else if (wire === 0 || wire === 1 || wire === 5) {
        if (wire === 0) varint();
        else at += wire === 1 ? 8 : 4;
        if (typeof field !== 'function') total += typeof field === 'number' ? field : field.packed;
      } else return false;
      if (total > limit) return false;
    }
    return true;
  };
  message(MODEL, bytes.length, 0);
  return total;
}

function varintsIn(bytes: Uint8Array, from: number, to: number): number {
  let count = 0;
  for (let i = from; i < to; i++) if (bytes[i]! < 128) count++; // i is inside
  return count;
}
