import type { Dim, Shape, Value } from '../ir/graph.js';
import { permutationOf, sameDim } from '../rewrite/facts.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';

/** Heads of Q, K and V by Reshape and Transpose; with `rotary`, Q and K turned after that. */
const lines = (rotary: boolean): string =>
  ['q', 'k', 'v']
    .map(
      (x) =>
        `r${x} = Reshape(x${x}, _)\nt${x} = Transpose(r${x})\n` +
        `${rotary && x !== 'v' ? `${x} = RotaryEmbedding(t${x}, c${x}, s${x}, p${x}?)\n` : ''}`,
    )
    .join('');
const whole = (rotary: boolean): string =>
  `${lines(rotary)}c = Attention(${rotary ? 'q, k' : 'tq, tk'}, tv, mask?)\nt = Transpose(c)\ny = Reshape(t, _)`;
const swaps = (m: Match, node: string): boolean => permutationOf(m.node(node))?.join() === '0,2,1,3';
const splits = (whole: Shape | undefined, heads: Shape | undefined): boolean =>
  whole?.length === 3 &&
  heads?.length === 4 &&
  sameDim(whole[0], heads[0]) &&
  sameDim(whole[1], heads[1]) &&
  product(heads[2], heads[3]) === whole[2];
const product = (a: Dim | undefined, b: Dim | undefined): number | undefined =>
  typeof a === 'number' && typeof b === 'number' ? a * b : undefined;

/**
 * Attention whose Q, K and V come as [batch, sequence, heads · d] through Reshape and Transpose, and whose result goes
 * back the same way, takes them as they are and splits the heads itself; so does a RotaryEmbedding between.
 */
export const fuseAttentionHeads = rulePass({
  name: 'fuse-attention-heads',
  doc: 'Lets Attention split and join the heads itself.',
  numerics: 'close',
  opset: 23,
  pattern: [whole(true), whole(false)],
  check(m) {
    if (!['tq', 'tk', 'tv', 't'].every((node) => swaps(m, node))) return 'a Transpose does not swap heads and sequence';
    const known =
      ['q', 'k', 'v'].every((x) => splits(m.value(`x${x}`).shape, m.value(`r${x}`).shape)) &&
      splits(m.value('y').shape, m.value('t').shape);
    return known || 'a Reshape is not known to split or join heads only';
  },
  rewrite(m, b) {
    const heads = (name: string): number => Number(m.value(name).shape?.[2]);
    const turned = (x: 'q' | 'k'): Value => {
      if (!m.has(`c${x}`)) return m.value(`x${x}`);
      const [rotary, positions] = [m.node(x), m.optional(`p${x}`)];
      return b.op(
        'RotaryEmbedding',
        [m.value(`x${x}`), m.value(`c${x}`), m.value(`s${x}`), ...(positions ? [positions] : [])],
        {
          attrs: { ...Object.fromEntries(rotary.attrs), num_heads: heads(`r${x}`) },
          name: rotary.name || 'RotaryEmbedding',
        },
      );
    };
    const mask = m.optional('mask');
    const node = m.node('c');
    return b.op('Attention', [turned('q'), turned('k'), m.value('xv'), ...(mask ? [mask] : [])], {
      attrs: { ...Object.fromEntries(node.attrs), q_num_heads: heads('rq'), kv_num_heads: heads('rk') },
      name: node.name || 'Attention',
    });
  },
});
