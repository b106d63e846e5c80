import type { Dim, Shape } from '../ir/graph.js';
import { permutationOf, sameDim } from '../rewrite/facts.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';

const LINES = ['q', 'k', 'v'].map((x) => `r${x} = Reshape(x${x}, _)\n${x} = Transpose(r${x})`).join('\n');
const swaps = (m: Match, node: string): boolean => permutationOf(m.node(node))?.join() === '0,2,1,3';
const splits = (whole: Shape | undefined, heads: Shape | undefined): boolean => whole?.length === 3 && heads?.length === 4 && sameDim(whole[0], heads[0]) && sameDim(whole[1], heads[1]) && product(heads[2], heads[3]) === whole[2];
const product = (a: Dim | undefined, b: Dim | undefined): number | undefined => (typeof a === 'number' && typeof b === 'number' ? a * b : undefined);

/**
 * Attention whose Q, K and V come as [batch, sequence, heads · d] through Reshape and Transpose, and whose result goes
 * back the same way, takes them as they are and splits the heads itself.
 */
export const fuseAttentionHeads = rulePass({
  name: 'fuse-attention-heads', doc: 'Lets Attention split and join the heads itself.', numerics: 'close', opset: 23,
  pattern: `${LINES}\nc = Attention(q, k, v, mask?)\nt = Transpose(c)\ny = Reshape(t, _)`,
  check(m) {
    if (!['q', 'k', 'v', 't'].every((node) => swaps(m, node))) return 'a Transpose does not swap heads and sequence';
    const known = ['q', 'k', 'v'].every((x) => splits(m.value(`x${x}`).shape, m.value(`r${x}`).shape)) && splits(m.value('y').shape, m.value('t').shape);
    return known || 'a Reshape is not known to split or join heads only';
  },
  rewrite(m, b) {
    const heads = (name: string): number => Number(m.value(name).shape?.[2]);
    const mask = m.optional('mask');
    const node = m.node('c');
    return b.op('Attention', [m.value('xq'), m.value('xk'), m.value('xv'), ...(mask ? [mask] : [])], { attrs: { ...Object.fromEntries(node.attrs), q_num_heads: heads('rq'), kv_num_heads: heads('rk') }, name: node.name || 'Attention' });
  },
});
