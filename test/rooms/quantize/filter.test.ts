import { describe, expect, it } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { specOf } from '../../../src/ops/index.js';
import { compileRegExp, nameTest } from '../../../src/base/match.js';
import { selectNodes, type NodeFilter } from '../../../src/quantize/filter.js';

const { graph } = parseModel(
  `<ir_version: 8, opset_import: ["" : 17]>
g (float[N,3,8,8] x) => (float[N,5] y)
<float[4,3,3,3] stem_weight, float[4,4,3,3] body_weight, float[5,4] head_weight>
{ [stem] a = Conv (x, stem_weight)
 [stem_relu] b = Relu (a)
 ["body.0"] c = Conv (b, body_weight)
 d = GlobalAveragePool (c)
 [flat] f = Flatten (d)
 [head] y = Gemm<transB=1> (f, head_weight) }`,
  { randomInitializers: 1 },
);
const compute = graph.topological().filter((n) => specOf(n)?.quant.role === 'compute');
const select = (...filters: NodeFilter[]): (readonly [string, string])[] =>
  [...selectNodes(graph, filters, compute)].map(([n, why]) => [n.name || n.op, why] as const);
const names = (...filters: NodeFilter[]): string[] => select(...filters).map(([n]) => n);

describe('filters', () => {
  it('takes a node, an output or a constant by its exact name', () => {
    expect(names('stem')).toEqual(['stem']);
    expect(names('d')).toEqual(['GlobalAveragePool']);
    expect(names('body_weight')).toEqual(['body.0']);
  });
  it('takes globs, in which only * and ? are special', () => {
    expect(names('stem*')).toEqual(['stem', 'stem_relu']);
    expect(names('body?0')).toEqual(['body.0']);
    expect(nameTest('a.c*')('abcd')).toBe(false);
    expect(nameTest('*')('any/name:0')).toBe(true);
  });
  it('takes regular expressions, anywhere in the name', () => {
    expect(names('re:^(stem|head)$')).toEqual(['stem', 'head']);
  });
  it('takes op types and positions of compute nodes', () => {
    expect(names({ opType: 'Conv' })).toEqual(['stem', 'body.0']);
    expect(names({ position: 'first' }, { position: 'last' })).toEqual(['stem', 'head']);
  });
  it('says which filter chose a node first', () => {
    expect(select('stem', { opType: 'Conv' })).toEqual([
      ['stem', 'stem'],
      ['body.0', 'opType Conv'],
    ]);
  });

  it.each<[NodeFilter, string]>([
    ['hea', 'head'],
    ['stem_weigth', 'stem'],
    ['body.9', 'body.0'],
    [{ opType: 'Cnov' }, 'Conv'],
  ])('%j names nothing, and the nearest name is suggested', (filter, near) => {
    expect(() => select(filter)).toThrowError(
      expect.objectContaining({ code: 'RECIPE_UNKNOWN_NAME', hint: expect.stringContaining(near) as string }) as Error,
    );
  });
  it('names nothing where a glob or an expression matches nothing', () => {
    for (const f of ['zzz*', 're:^zzz'])
      expect(() => select(f)).toThrowError(expect.objectContaining({ code: 'RECIPE_UNKNOWN_NAME' }) as Error);
  });
  it.each(['(', '(a+)+$', '(a|aa)*$', '^((a)+)+$', '((a|b)){2,}', '(?=a)b', '(a)\\1', 'x'.repeat(501)])(
    'refuses the expression %j',
    (source) => {
      expect(() => compileRegExp(source)).toThrowError(expect.objectContaining({ code: 'RECIPE_INVALID' }) as Error);
    },
  );
});
