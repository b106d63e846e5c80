import { specOf } from '../ops/index.js';
import { floatAttr } from '../rewrite/builder.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';
import { Tensor } from '../ir/tensor.js';

/**
 * Two clamps in a row are one: clamp(clamp(x, a, b), c, d) = clamp(x, a', b') with a' and b' the bounds a and b clamped
 * to [c, d]. Relu clamps to [0, ∞). Refuses computed bounds, bounds the wrong way round, and types other than float32.
 */
export const mergeClips = rulePass({
  name: 'merge-clips',
  doc: 'Merges two of Clip and Relu into one Clip.',
  numerics: 'exact',
  pattern: 'a = Clip|Relu(x, l?, h?)\ny = Clip|Relu(a, m?, n?)',
  check(m) {
    if (m.node('a').op === 'Relu' && m.node('y').op === 'Relu') return 'two Relus: eliminate-repeats removes one';
    if (m.value('y').dtype !== 'float32') return 'the type is not float32';
    return merged(m) ? true : 'the bounds are computed, or the wrong way round';
  },
  rewrite(m, b) {
    const [low, high] = merged(m)!; // check() made sure
    const name = m.node('y').name || 'Clip';
    const y = m.value('y').name;
    if (low === 0 && high === Infinity) return b.op('Relu', [m.value('x')], { name });
    if ((b.model.opsets.get('') ?? 1) < 11)
      return b.op('Clip', [m.value('x')], {
        attrs: {
          ...(low > -Infinity ? { min: floatAttr(low) } : {}),
          ...(high < Infinity ? { max: floatAttr(high) } : {}),
        },
        name,
      });
    return b.op(
      'Clip',
      [
        m.value('x'),
        low > -Infinity ? b.constant(Tensor.f32([low], []), `${y}_min`) : null,
        ...(high < Infinity ? [b.constant(Tensor.f32([high], []), `${y}_max`)] : []),
      ],
      { name },
    );
  },
});

function merged(m: Match): readonly [number, number] | undefined {
  const [first, second] = (['a', 'y'] as const).map((n) => {
    const node = m.node(n);
    const role = specOf(node)?.quant;
    return role?.role === 'clamp' ? role.bounds(node) : undefined;
  });
  if (!first || !second || !(first[0] <= first[1]) || !(second[0] <= second[1])) return undefined;
  const clamp = (v: number): number => Math.min(Math.max(v, second[0]), second[1]);
  return [clamp(first[0]), clamp(first[1])];
}
