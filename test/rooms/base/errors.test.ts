import { describe, expect, it } from 'vitest';
import { nearest, QuantError } from '../../../src/base/errors.js';
import { shorten, shortName } from '../../../src/base/shorten.js';

describe('what messages quote is shortened in one place', () => {
  it('leaves ordinary messages as they are', () => {
    const message = `'${'a'.repeat(120)}' is not defined; dims [${Array.from({ length: 40 }, (_, i) => i).join(',')}]`;
    expect(new QuantError('GRAPH_INVALID', message).message).toBe(message);
  });
  it('cuts long names and lists in their middle and keeps the words around them', () => {
    const name = `start${'x'.repeat(20_000)}end`;
    const { message, where, hint } = new QuantError(
      'GRAPH_INVALID',
      `input 0 of node '${name}' (Relu), '${name}', is not defined`,
      { where: { node: name, tensor: name, file: name }, hint: `did you mean '${name}'?` },
    );
    expect(message.length).toBeLessThan(1000);
    expect(message).toMatch(
      /^input 0 of node 'startx+… \(20010 characters\) …x+end' \(Relu\), 'start.*end', is not defined$/,
    );
    expect([where.node!.length < 400, where.tensor!.length < 400, where.file]).toEqual([true, true, name]);
    expect(hint!.length).toBeLessThan(1000);
  });
  it('cuts a message of 4,000,000 list entries, and one of very many words', () => {
    const entries = new Array(4e6).fill('7');
    expect(shorten(`dims [${entries.join(',')}] are wrong`)).toMatch(/^dims \[7,7.*\] are wrong$/);
    expect(shorten(`dims [${entries.join(', ')}]`).length).toBeLessThan(2100);
  });
  it('does not cut through a surrogate pair', () => {
    for (let n = 0; n < 4; n++)
      expect(shortName('a'.repeat(n) + '😀'.repeat(400))).not.toMatch(
        /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/,
      );
  });
});

describe('the nearest name', () => {
  it.each([
    ['kld', 'kl'],
    ['percentil', 'percentile'],
    ['MINMAX', 'minmax'],
    ['qqqqqq', undefined],
  ])('of %s is %s', (name, wanted) => {
    expect(nearest(name, ['kl', 'minmax', 'percentile', 'mse'])).toBe(wanted);
  });
  it('is not looked for at the length of 20,000 characters, and quickly among many names', () => {
    const long = Array.from({ length: 300 }, (_, i) => 'n'.repeat(20_000) + i);
    const many = Array.from({ length: 100_000 }, (_, i) => `/model/layers.${i}/attention/query/MatMul_output_0`);
    const start = performance.now();
    expect(nearest(long[0]!, long)).toBeUndefined();
    expect(nearest('short', long)).toBeUndefined();
    expect(nearest('/model/layers.99/attention/query/MatMul_outputt_0', many)).toBe(
      '/model/layers.99/attention/query/MatMul_output_0',
    );
    expect(performance.now() - start).toBeLessThan(2000);
  });
});
