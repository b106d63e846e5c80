/** Models to begin with, and changes of them that know what a model is made of. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Rng } from '../../src/base/rng.js';
import { parseModel } from '../../src/ir/text/parse.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { onnx } from '../../src/onnx/proto.js';
import { EDGES, mutateBytes, pick } from './bytes.js';

/** Bytes of the models in the fixtures of passes and formats, and of the demo. */
export function seedModels(root: string): Uint8Array[] {
  const found: Uint8Array[] = [readFileSync(path.join(root, 'calibration-data/demo.onnx'))];
  for (const folder of ['test/fixtures/passes', 'test/fixtures/formats']) {
    for (const name of readdirSync(path.join(root, folder)).sort()) {
      const [, text] = /^@@@ before\n([^]*?)^@@@ /m.exec(readFileSync(path.join(root, folder, name), 'utf8')) ?? [];
      // Weights without data are filled in by the tests of formats; here such models stay out.
      try {
        if (text) found.push(encodeModel(parseModel(text)));
      } catch {
        /* see above */
      }
    }
  }
  for (const text of BODIES) found.push(encodeModel(parseModel(text)));
  return found;
}

/** What the fixtures lack: functions, bodies in bodies, sequences, sparse constants. */
const BODIES: readonly string[] = [
  `<ir_version: 10, opset_import: ["" : 21, "d" : 1]> g (float[N,4] x, bool c, int64 m) => (float[N,4] y, float[N,4] z) <float[4,4] w = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16}> {
    h = d.f <k = 2> (x, w)
    y = If (c) <then_branch = t () => (float[N,4] p) { p = d.f (h, w) }, else_branch = e () => (float[N,4] q) { q = Relu(h) }>
    z, s = Loop (m, c, h) <body = b (int64 i, bool go, float[N,4] a) => (bool go2, float[N,4] a2, float[N,4] a3) { go2 = Identity(go) a2 = Add(a, x) a3 = Mul(a, a2) }> }
  <domain: "d", opset_import: ["" : 21, "d" : 1]> f <k> (a, b) => (r) { m = MatMul(a, b) n = d.inner(m) r = Flatten <axis: int = @k> (n) }
  <domain: "d", opset_import: ["" : 21, "d" : 1]> inner (a) => (r) { r = Sigmoid(a) }`,
  `<ir_version: 8, opset_import: ["" : 17]> g (float[3] s, float[2,3] x, int64[2] sh) => (float[3] t, float[2,3] u, float[A,B] v, float[C] l) {
    t, u = Scan (s, x) <num_scan_inputs = 1, body = b (float[3] a, float[3] r) => (float[3] c, float[3] d) { c = Add(a, r) d = Relu(c) }>
    e = Expand (t, sh) k = Shape(e) f = ConstantOfShape(k) v = Reshape(f, sh)
    o = Constant <value = int64 {0}> () n = Constant <value = int64 {5}> () st = Constant <value = int64 {1}> () rg = Range(o, n, st) l = Cast <to = 1> (rg) }`,
  `<ir_version: 8, opset_import: ["" : 17]> g (float[1,8,6,6] x, int64[2] ax) => (float[1,2,12,12] y, float[1,8,3,3] p, float[A,B,C,D] r, float[a] m) <int64[8] pads = {0,0,1,1,0,0,1,1}, float[4] sc = {1,1,2,2}, int64[1] one = {1}, int64[1] two = {2}> {
    y = DepthToSpace <blocksize = 2> (x) p = MaxPool <kernel_shape = [2,2], strides = [2,2]> (x) a = Pad(x, pads) b = Resize(a, "", sc) c = Slice(b, one, two, one) r = Concat <axis = 1> (c, c)
    s1, s2 = Split <axis = 1> (x) tk, ti = TopK <axis = 3> (s1, one) sm = Sum(s1, s2, s1) q = ReduceMean <axes = [1,2,3]> (sm) m = Squeeze(q) }`,
];

type Plain = Record<string, unknown>;
const isPlain = (v: unknown): v is Plain => typeof v === 'object' && v !== null && !ArrayBuffer.isView(v);
interface Slot {
  readonly holder: Plain | unknown[];
  readonly key: string | number;
}

const OPS = [
  'Add',
  'Sum',
  'Concat',
  'Slice',
  'Expand',
  'Reshape',
  'Tile',
  'Pad',
  'Split',
  'Gather',
  'If',
  'Loop',
  'Scan',
  'Squeeze',
  'Unsqueeze',
  'Resize',
  'Range',
  'ConstantOfShape',
  'OneHot',
  'TopK',
  'Einsum',
  'DepthToSpace',
  'Transpose',
  'Constant',
  'Identity',
  'Cast',
  'Conv',
  'ConvTranspose',
  'Gemm',
  'MatMul',
  'LSTM',
  'GRU',
  'Max',
  'Mean',
  'Flatten',
  'Shape',
  'Where',
  'Clip',
  'Upsample',
  'Attention',
  'QuantizeLinear',
  'f',
  'inner',
];
const STRINGS = [
  '',
  'x',
  'y',
  'N',
  'then_branch',
  'body',
  'axis',
  'axes',
  'perm',
  'pads',
  'value',
  'a,b->c',
  'ij,jk->ik',
  '../x',
  'SAME_UPPER',
  '__proto__',
  'constructor',
  '\u001b[31m',
  '\u202e',
];

/**
 * A model with some fields changed, dropped, doubled or taken from another model; sometimes its bytes damaged as
 * well.
 */
export function mutateModel(seeds: readonly Uint8Array[], rng: Rng): Uint8Array {
  const bytes = pick(rng, seeds);
  if (rng.int(8) === 0) return mutateBytes(bytes, rng);
  const model = plainModel(bytes);
  const other = rng.int(4) === 0 ? slotsOf(plainModel(pick(rng, seeds))) : [];
  for (let k = rng.int(5) + 1; k > 0; k--) {
    const slots = slotsOf(model);
    if (!slots.length) break;
    const slot = pick(rng, slots);
    if (other.length && rng.int(2)) graft(slot, other, rng);
    else change(slot, slots, rng);
  }
  let out: Uint8Array;
  try {
    out = onnx.ModelProto.encode(model).finish();
  } catch {
    return mutateBytes(bytes, rng);
  } // some mixtures cannot be written
  return rng.int(10) === 0 ? mutateBytes(out, rng, 2) : out;
}

/** As plain objects with numbers for 64-bit integers. */
// a message is an object
const plainModel = (bytes: Uint8Array): Plain => plain(onnx.ModelProto.decode(bytes)) as Plain;
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  // byte fields are the only views
  if (!isPlain(value)) return ArrayBuffer.isView(value) ? Uint8Array.from(value as Uint8Array) : value;
  if ('low' in value && 'high' in value) return Number(value.high) * 2 ** 32 + (Number(value.low) >>> 0);
  return Object.fromEntries(Object.keys(value).map((key) => [key, plain(value[key])]));
}

function slotsOf(root: unknown, found: Slot[] = [], depth = 0): Slot[] {
  if (Array.isArray(root))
    root.forEach((v, i) => {
      found.push({ holder: root, key: i });
      if (depth < 60) slotsOf(v, found, depth + 1);
    });
  else if (isPlain(root))
    for (const key of Object.keys(root)) {
      found.push({ holder: root, key });
      if (depth < 60) slotsOf(root[key], found, depth + 1);
    }
  return found;
}
const get = ({ holder, key }: Slot): unknown => (holder as Plain)[key]; // arrays are indexed by numbers
const set = ({ holder, key }: Slot, value: unknown): void => {
  (holder as Plain)[key] = value;
}; // as above

/** Puts what lies under the same field in another model here. */
function graft(slot: Slot, others: readonly Slot[], rng: Rng): void {
  const same = others.filter(
    (o) =>
      typeof o.key === typeof slot.key &&
      (typeof o.key === 'number' || o.key === slot.key) &&
      kind(get(o)) === kind(get(slot)),
  );
  if (same.length) set(slot, structuredClone(get(pick(rng, same))));
}
const kind = (v: unknown): string =>
  Array.isArray(v)
    ? 'list'
    : ArrayBuffer.isView(v)
      ? 'bytes'
      : isPlain(v)
        ? Object.keys(v).slice(0, 2).join()
        : typeof v;

function change(slot: Slot, slots: readonly Slot[], rng: Rng): void {
  const value = get(slot);
  if (Array.isArray(slot.holder) && rng.int(3) === 0) return shuffle(slot.holder, Number(slot.key), rng);
  if (typeof value === 'number')
    return set(
      slot,
      slot.key === 'type'
        ? rng.int(16)
        : slot.key === 'elemType' || slot.key === 'dataType'
          ? rng.int(28)
          : pick(rng, [...EDGES, value + 1, value - 1, value * 2, NaN, 0.5]),
    );
  if (typeof value === 'string') {
    const names = slots.map(get).filter((v): v is string => typeof v === 'string');
    return set(
      slot,
      slot.key === 'opType'
        ? pick(rng, OPS)
        : rng.int(3)
          ? pick(rng, names)
          : rng.int(40)
            ? pick(rng, STRINGS)
            : 'n'.repeat(20_000),
    );
  }
  if (value instanceof Uint8Array)
    return set(slot, rng.int(2) ? mutateBytes(value, rng) : intBytes(rng, Math.max(1, value.length >> 3)));
  if (Array.isArray(value)) return shuffle(value, rng.int(value.length + 1), rng);
  if (!Array.isArray(slot.holder)) delete slot.holder[slot.key];
}

function shuffle(list: unknown[], at: number, rng: Rng): void {
  const item = list[at] ?? list[0];
  switch (rng.int(5)) {
    case 0:
      list.splice(at, 1);
      break;
    case 1:
      list.splice(at, 0, structuredClone(item ?? 0));
      break;
    case 2:
      list.splice(0, 0, ...list.splice(at));
      break;
    case 3:
      list.length = Math.min(list.length, at);
      break;
    default:
      for (let k = 2 ** rng.int(8); k > 0 && list.length < 5000; k--)
        list.push(structuredClone(item ?? pick(rng, EDGES)));
  }
}

/** int64 values at edges, as raw data: axes, sizes and limits. */
function intBytes(rng: Rng, count: number): Uint8Array {
  const out = new DataView(new ArrayBuffer(8 * Math.min(count, 16)));
  for (let i = 0; i < out.byteLength; i += 8) out.setBigInt64(i, BigInt(Math.trunc(pick(rng, EDGES))), true);
  return new Uint8Array(out.buffer);
}
