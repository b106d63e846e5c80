import type { Node, Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { floatAttr } from '../rewrite/builder.js';
import { sameDim, sameShape } from '../rewrite/facts.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';
import { canFill, filled } from './constants.js';

const ops = ['InstanceNormalization(r, s!, b!)', 'LayerNormalization(r, s!, b?!)'];

/** Groups and channels that the match normalises, or why it is no GroupNormalization. */
function groupsOf(m: Match): { readonly groups: number; readonly channels: number } | string {
  const [x, r, y] = [m.value('x').shape, m.value('r').shape, m.value('y').shape];
  const [groups, channels] = [r?.[1], x?.[1]];
  if (
    !x ||
    !r ||
    x.length < 3 ||
    r.length < 3 ||
    typeof groups !== 'number' ||
    typeof channels !== 'number' ||
    !sameDim(x[0], r[0])
  )
    return 'its batch, channels or groups are not known';
  if (canFill(channels) !== true) return String(canFill(channels));
  if (channels % groups) return `${channels} channels are not ${groups} groups of whole channels`;
  if (!sameShape(x, y)) return 'it does not give the shape of its input back, as far as is known';
  if (m.value('x').dtype !== 'float32') return 'the type is not known to be float32';
  return m.node('n').op === 'InstanceNormalization'
    ? { groups, channels }
    : (layerNormFits(m.node('n'), r.length) ?? { groups, channels });
}

/** LayerNormalization of [N, G, K] is one of groups where every element of the group has the same scale and bias. */
function layerNormFits(n: Node, rank: number): string | undefined {
  const axis = n.int('axis', -1);
  if (rank !== 3 || (axis !== -1 && axis !== 2)) return 'it normalises other axes than the elements of a group';
  if (n.outputs.slice(1).some((o) => o.uses.size || o.isGraphOutput)) return 'its statistics are used';
  return n.inputs.slice(1).every((v) => !v || uniform(v)) ? undefined : 'its scale or bias differs inside of a group';
}
const uniform = (v: Value): boolean => {
  const data = v.data?.dtype === 'float32' ? v.data.f32() : [];
  return data.length > 0 && data.every((k) => k === data[0]);
};

/** One value per channel from one per group; equal ones where the constant is that of a LayerNormalization. */
function perGroup(v: Value | null, groups: number, channels: number, instance: boolean): Tensor {
  const data = v?.data?.f32();
  return data
    ? Tensor.f32(
        Float32Array.from({ length: channels }, (_, c) => data[instance ? Math.floor((c * groups) / channels) : 0]!),
      )
    : filled(channels, 0);
}

/**
 * Reshape to [N, G, …], a normalisation of each of the G rows, and Reshape back is GroupNormalization with one scale
 * and bias per channel: what exporters write below opset 18, and what is left of a chain of ReduceMean. onnxruntime
 * expands it again into the nodes that it means, which takes some 15 % longer than InstanceNormalization. source:
 * https://arxiv.org/abs/1803.08494
 */
export const fuseGroupNorm = rulePass({
  name: 'fuse-group-norm',
  doc: 'Fuses a normalisation between two Reshapes into GroupNormalization.',
  numerics: 'close',
  opset: 21,
  pattern: ops.map((op) => `r = Reshape(x, _)\nn = ${op}\ny = Reshape(n, _)`),
  check(m) {
    const found = groupsOf(m);
    return typeof found === 'string'
      ? found
      : m.node('n').op !== 'InstanceNormalization' ||
          m.value('s').data?.dtype === 'float32' ||
          'its scale is not float32';
  },
  rewrite(m, b) {
    const found = groupsOf(m);
    const { groups, channels } = typeof found === 'string' ? { groups: 1, channels: 1 } : found; // check() made sure
    const n = m.node('n');
    const of = (what: 's' | 'b', name: string): Value =>
      b.constant(
        perGroup(m.optional(what), groups, channels, n.op === 'InstanceNormalization'),
        m.optional(what)?.name ?? name,
      );
    return b.op(
      'GroupNormalization',
      [m.value('x'), of('s', `${m.value('y').name}_scale`), of('b', `${m.value('y').name}_bias`)],
      {
        attrs: { num_groups: groups, epsilon: floatAttr(n.float('epsilon', 1e-5)) },
        name: n.name || 'GroupNormalization',
      },
    );
  },
});
