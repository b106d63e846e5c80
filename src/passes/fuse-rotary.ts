import type { Node, Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import type { GraphBuilder } from '../rewrite/builder.js';
import { producerOf } from '../rewrite/bypass.js';
import { axesFrom, constantInts, fromStart, sameDim } from '../rewrite/facts.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';
import { scalarOf } from './constants.js';

/** The halves of the last axis, as two Slices or a Split. */
const HALVES = ['x1 = Slice(x, b1!, e1!, a1!, t1?!)\nx2 = Slice(x, b2!, e2!, a2!, t2?!)', 'x1, x2 = Split(x, sizes?!)'];
/** Angles of one kind: a table of positions by halves, or a value of half the width, and how it is scaled. */
type Angles =
  | { readonly table: Tensor; readonly name: string; readonly positions: Value | undefined }
  | { readonly half: Value; readonly op: 'Cos' | 'Sin'; readonly scale: Value | undefined };

/** Whether x1 and x2 are the halves of the last axis of x, which has `size` elements. */
function halves(m: Match, size: number): boolean {
  const at = (axis: number): boolean => fromStart(axis, 4) === 3;
  const first = m.node('x1');
  if (first.op === 'Split')
    return (
      at(first.int('axis', 0)) &&
      first.outputs.length === 2 &&
      (m.optional('sizes') ? constantInts(m.optional('sizes')) : first.ints('split', [size / 2, size / 2]))?.join() ===
        `${size / 2},${size / 2}`
    );
  const slice = (node: Node, begin: number, end: number): boolean => {
    const [b, e, a] = [1, 2, 3].map((i) => constantInts(node.inputs[i]));
    const step = node.inputs[4] ? constantInts(node.inputs[4])?.[0] : 1;
    return (
      a?.length === 1 &&
      at(a[0] ?? 0) &&
      step === 1 &&
      fromStart(b?.[0] ?? -1, size) === begin &&
      Math.min(fromStart(e?.[0] ?? 0, size), size) === end
    );
  };
  return slice(first, 0, size / 2) && slice(m.node('x2'), size / 2, size);
}

/** The left half of a table [.., size] whose two halves are equal, as [rows, size / 2]. */
function leftHalf(t: Tensor | undefined, size: number): Tensor | undefined {
  if (t?.dtype !== 'float32' || t.dims.at(-1) !== size || t.size / size !== (t.dims.at(-2) ?? 1)) return undefined;
  const [all, half, rows] = [t.f32(), size / 2, t.size / size];
  const left = new Float32Array(rows * half);
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < half; i++) {
      if (all[r * size + i] !== all[r * size + half + i]) return undefined;
      left[r * half + i] = all[r * size + i]!;
    }
  }
  return Tensor.f32(left, [rows, half]);
}

/** What the angles are that broadcast along the heads of [batch, heads, sequence, size]. */
function anglesOf(v: Value, size: number): Angles | undefined {
  if (v.isInitializer) {
    const table =
      v.data && (v.data.dims.length < 3 || v.data.dims.slice(0, -2).every((d) => d === 1))
        ? leftHalf(v.data, size)
        : undefined;
    return table && { table, name: v.name, positions: undefined };
  }
  const wide = producerOf(v, 'Unsqueeze');
  if (!wide || axesFrom(wide, 4)?.join() !== '1') return undefined;
  const rows = producerOf(wide.inputs[0], 'Gather');
  if (rows?.int('axis', 0) === 0) {
    const [source, positions] = [rows.inputs[0], rows.inputs[1]];
    const table = source?.isInitializer && source.data?.dims.length === 2 ? leftHalf(source.data, size) : undefined;
    return table && source && positions?.dtype === 'int64' && positions.shape?.length === 2
      ? { table, name: source.name, positions }
      : undefined;
  }
  const scaled = producerOf(wide.inputs[0], 'Mul');
  const scale = scaled?.inputs.find((i) => scalarOf(i) !== undefined);
  const turned = producerOf(scaled && scale ? scaled.inputs.find((i) => i !== scale) : wide.inputs[0], 'Cos', 'Sin');
  const twice = producerOf(turned?.inputs[0], 'Concat');
  const half = twice?.inputs[0];
  if (
    !turned ||
    !half ||
    twice.inputs.length !== 2 ||
    twice.inputs[1] !== half ||
    half.shape?.length !== 3 ||
    half.shape[2] !== size / 2 ||
    fromStart(twice.int('axis'), 3) !== 2
  )
    return undefined;
  return { half, op: turned.op === 'Cos' ? 'Cos' : 'Sin', scale: scale ?? undefined };
}

/** Cosines and sines of the match, or why they are no rotation. */
function bothAngles(m: Match): readonly [Angles, Angles] | string {
  const shape = m.value('x').shape;
  const size = shape?.[3];
  if (shape?.length !== 4 || m.value('x').dtype !== 'float32' || typeof size !== 'number' || size % 2)
    return 'it is not float32 of batch, heads, sequence and an even size';
  if (!halves(m, size)) return 'what it turns are not the two halves of the last axis';
  if (m.node('r').inputs.length !== 2 || fromStart(m.node('r').int('axis'), 4) !== 3)
    return 'the halves are not joined along the last axis';
  const [cos, sin] = [anglesOf(m.value('cos'), size), anglesOf(m.value('sin'), size)];
  if (!cos || !sin || 'half' in cos !== 'half' in sin)
    return 'the halves of its cosines and sines are not known to be equal';
  const positions = [cos, sin].map((a) =>
    'table' in a ? (a.positions?.shape ?? [1, a.table.dims[0] ?? null]) : (a.half.shape ?? []),
  );
  // Rows by position must be those of this batch; without positions, those of one sample serve all.
  const byRow = 'table' in cos && cos.positions !== undefined;
  if (
    'table' in cos &&
    'table' in sin &&
    (cos.positions !== sin.positions || (byRow && cos.table.dims.join() !== sin.table.dims.join()))
  )
    return 'cosines and sines are of different positions';
  const known = positions.every((p) => (sameDim(p[0], shape[0]) || (p[0] === 1 && !byRow)) && sameDim(p[1], shape[2]));
  return known ? [cos, sin] : 'its cosines are not known to have the batch and sequence of what is turned';
}

/**
 * x · cos + [−x₂, x₁] · sin with x = [x₁, x₂] is RotaryEmbedding, where both halves of cos, and of sin, are the same:
 * tables that say so, rows of such tables by position, or the cosine of something joined to itself.
 * source: https://arxiv.org/abs/2104.09864
 */
export const fuseRotary = rulePass({
  name: 'fuse-rotary',
  doc: 'Fuses a rotary position embedding.',
  numerics: 'close',
  opset: 23,
  // b first: it says which factor of a is x.
  pattern: HALVES.map(
    (half) => `a = Mul(x, cos)\n${half}\nn = Neg(x2)\nr = Concat(n, x1)\nb = Mul(r, sin)\ny = Add(b, a)`,
  ),
  check(m) {
    const found = bothAngles(m);
    return typeof found === 'string' ? found : true;
  },
  rewrite(m, b) {
    const found = bothAngles(m);
    const name = m.node('y').name || 'RotaryEmbedding';
    if (typeof found === 'string') return m.value('y'); // check() refused it
    let shape: Value | undefined;
    const caches = found.map((angles) => {
      const cache = cacheOf(angles, b, name);
      if (('table' in angles && angles.positions) || sameDim(cache.shape?.[0], m.value('x').shape?.[0])) return cache;
      shape ??= batchOf(m.value('x'), b, name);
      return b.op('Expand', [cache, shape], { name: `${cache.name}_batch` });
    });
    const positions = 'table' in found[0] ? found[0].positions : undefined;
    return b.op('RotaryEmbedding', [m.value('x'), ...caches, ...(positions ? [positions] : [])], { name });
  },
});

/** Angles as the op takes them: a table with positions beside it, or [batch, sequence, size / 2]. */
function cacheOf(angles: Angles, b: GraphBuilder, name: string): Value {
  if ('half' in angles) {
    const turned = b.op(angles.op, [angles.half], { name: `${name}_${angles.op.toLowerCase()}` });
    return angles.scale
      ? b.op('Mul', [turned, angles.scale], { name: `${name}_${angles.op.toLowerCase()}_scaled` })
      : turned;
  }
  return b.constant(
    angles.positions ? angles.table : Tensor.f32(angles.table.f32(), [1, ...angles.table.dims]),
    angles.name,
  );
}

/** What one sample's angles are expanded to, [batch, 1, 1]: onnxruntime does not broadcast them. */
function batchOf(x: Value, b: GraphBuilder, name: string): Value {
  const batch = x.shape?.[0];
  const ones = b.constant(Tensor.i64([1, 1]), `${name}_ones`);
  const size =
    typeof batch === 'number'
      ? b.constant(Tensor.i64([batch]), `${name}_batch`)
      : b.op('Shape', [x], { attrs: { start: 0, end: 1 }, name: `${name}_batch` });
  return b.op('Concat', [size, ones], { attrs: { axis: 0 }, name: `${name}_shape` });
}
