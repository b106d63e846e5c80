/** What stands for an operator gives what onnxruntime's gives, and gradients as differences tell. */
import { describe, expect, it } from 'vitest';
import { gradients } from '../../../src/autodiff/gradients.js';
import { addLoss } from '../../../src/autodiff/add-loss.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { expectAlike, TOLERANCE, worstError, type RuleCase } from './check.js';

const graph = (inputs: string, outputs: string, body: string): string => `(${inputs}) => (${outputs}) { ${body} }`;
const attends = (q: string, k: string, v: string, y: string, attrs = ''): string =>
  graph(`real[${q}] q, real[${k}] k, real[${v}] v`, `real[${y}] y`, `y = Attention ${attrs && `<${attrs}>`} (q, k, v)`);
const rotates = (x: string, cache: string, attrs = ''): string =>
  graph(`real[${x}] x, real[${cache}] c, real[${cache}] s`, `real[${x}] y`, `y = RotaryEmbedding <${attrs}> (x, c, s)`);

type Case = readonly [name: string, graph: string, wrt: readonly string[]];
const CASES: readonly Case[] = [
  ['Attention by heads', attends('2,3,4,5', '2,3,6,5', '2,3,6,4', '2,3,4,4'), ['q', 'k', 'v']],
  ['Attention of rows', attends('2,4,6', '2,5,6', '2,5,6', '2,4,6', 'q_num_heads = 2, kv_num_heads = 2'), ['q', 'v']],
  ['Attention with shared keys', attends('1,4,3,5', '1,2,3,5', '1,2,3,5', '1,4,3,5'), ['q', 'k', 'v']],
  [
    'Attention of shared keys in rows, causal, with a scale',
    attends('2,4,8', '2,4,4', '2,4,4', '2,4,8', 'q_num_heads = 4, kv_num_heads = 2, is_causal = 1, scale = 0.3'),
    ['q', 'k', 'v'],
  ],
  [
    'Attention with a mask of numbers and a past',
    graph(
      'real[1,2,3,4] q, real[1,2,3,4] k, real[1,2,3,4] v, real[3,5] m, real[1,2,2,4] pk, real[1,2,2,4] pv',
      'real[1,2,3,4] y, real[1,2,5,4] nk, real[1,2,5,4] nv',
      'y, nk, nv = Attention (q, k, v, m, pk, pv)',
    ),
    ['q', 'k', 'v', 'm', 'pk'],
  ],
  [
    'Attention with a mask of truths',
    graph(
      'real[1,2,3,4] q, real[1,2,4,4] k, real[1,2,4,4] v, bool[3,4] m',
      'real[1,2,3,4] y',
      'y = Attention (q, k, v, m)',
    ),
    ['q', 'k', 'v'],
  ],
  ['RotaryEmbedding by heads', rotates('2,2,3,8', '2,3,4'), ['x', 'c', 's']],
  ['RotaryEmbedding of neighbours', rotates('2,2,3,8', '2,3,4', 'interleaved = 1'), ['x']],
  ['RotaryEmbedding of rows, in part', rotates('2,3,16', '2,3,2', 'num_heads = 2, rotary_embedding_dim = 4'), ['x']],
  [
    'RotaryEmbedding by positions',
    graph(
      'real[2,2,3,4] x, real[7,2] c, real[7,2] s, int64[2,3] p',
      'real[2,2,3,4] y',
      'y = RotaryEmbedding (x, c, s, p)',
    ),
    ['x', 'c'],
  ],
  ...[
    ['1,5,2,2', 'size = 3'],
    ['2,6,3,3', 'size = 5, alpha = 0.5, beta = 0.6, bias = 2.0'],
    ['1,4,3,2', 'size = 5, alpha = 0.1'],
  ].map(([x, attrs]): Case => [`LRN ${attrs}`, graph(`real[${x}] x`, `real[${x}] y`, `y = LRN <${attrs}> (x)`), ['x']]),
];
const opsetOf = (text: string): number => (text.includes('LRN') ? 17 : 23);

describe.each(CASES)('%s', (_, text, wrt) => {
  it('gives what the operator gives', async () => {
    const model = parseModel(
      `<ir_version: 10, opset_import: ["" : ${opsetOf(text)}]> g ${text.replaceAll('real', 'float')}`,
    );
    const outputs = model.graph.outputs.map((v) => v.name);
    const lossy = addLoss(
      model,
      outputs.map((of) => ({ loss: 'mse', of, target: of })),
    );
    const made = gradients(lossy, { loss: 'loss', wrt, outputs });
    expect([...made.graph.nodes].map((n) => n.op)).not.toContain(/= (\w+)/.exec(text)?.[1]);
    const positions = { dtype: 'int64', dims: [2, 3], data: BigInt64Array.from([0n, 1n, 2n, 4n, 5n, 6n]) } as const;
    await expectAlike(model, made, outputs, text.includes('int64[2,3] p') ? { p: positions } : {});
  });
  it('has gradients as differences tell', async () => {
    const given = text.includes('int64[2,3] p') ? { given: { p: [0, 1, 2, 4, 5, 6] } } : {};
    const c: RuleCase = { graph: text, type: 'float', opset: opsetOf(text), options: { wrt }, ...given };
    expect(await worstError(c)).toBeLessThan(TOLERANCE.float);
  });
});

it.each([
  ['softcap', 'softcap = 2.0'],
  ['the scores as an output', ''],
])('Attention with %s is refused by name', (what, attrs) => {
  const outputs = what.startsWith('the scores') ? 'y, a, b, c' : 'y';
  const model = parseModel(
    `<ir_version: 10, opset_import: ["" : 23]> g (float[1,2,3,4] q) => (l) { ${outputs} = Attention ` +
      `${attrs && `<${attrs}>`} (q, q, q) s = ReduceSum <keepdims = 0> (y) ` +
      `${outputs === 'y' ? 'l = Identity (s)' : 't = ReduceSum <keepdims = 0> (c) l = Add (s, t)'} }`,
  );
  expect(() => gradients(model, { loss: 'l', wrt: ['q'] })).toThrow(
    expect.objectContaining({ code: 'GRADIENT_UNSUPPORTED', where: { node: 'y' } }),
  );
});
