import { describe, expect, it } from 'vitest';
import { globTest, regExpTest } from '../../../src/base/match.js';
import { createRng } from '../../../src/base/rng.js';

describe('globs', () => {
  it('agree with a backtracking expression on random patterns and names', () => {
    const rng = createRng(3, 'globs');
    const word = (letters: string, n: number): string =>
      Array.from({ length: rng.int(n) }, () => letters[rng.int(letters.length)]).join('');
    for (let i = 0; i < 20_000; i++) {
      const [pattern, name] = [word('ab*?', 8), word('ab', 8)];
      const wanted = new RegExp(`^${pattern.replace(/\*+/g, '.*').replace(/\?/g, '.')}$`, 's').test(name);
      expect([pattern, name, globTest(pattern)(name)]).toEqual([pattern, name, wanted]);
    }
  });
  it('take no special meaning from other characters', () => {
    expect(globTest('a.c*')('abcd')).toBe(false);
    expect(globTest('[ab]*')('[ab]/x')).toBe(true);
  });
});

describe('matching time grows with the name, not with what could be tried', () => {
  const quick = (step: () => boolean): boolean => {
    const start = performance.now();
    const found = step();
    expect(performance.now() - start).toBeLessThan(500);
    return found;
  };
  it.each([
    ['*layer*layer*norm*', 'layer'.repeat(4000), false],
    ['*a*a*a*a*a*a*a*a*a*a*c', `${'a'.repeat(40)}b`, false],
    [`${'*a'.repeat(200)}*b`, 'a'.repeat(20_000), false],
    ['*?a?b*', 'a'.repeat(20_000), false],
    ['*layer*', 'layer'.repeat(4000), true],
  ])('glob %s', (pattern, name, wanted) => {
    expect(quick(() => globTest(pattern)(name))).toBe(wanted);
  });
  it.each([
    ['^((a)+)+$', `${'a'.repeat(40)}b`, false],
    ['^(a|aa)+$', `${'a'.repeat(60)}b`, false],
    ['(a*)*(a*)*(a*)*c', 'a'.repeat(20_000), false],
    ['(x+x+)+y', 'x'.repeat(5000), false],
    ['^(\\w+\\s?)*$', `${'a'.repeat(60)}!`, false],
    ['norm[0-9]{1,3}$', `${'/layer'.repeat(3000)}/norm12`, true],
  ])('expression %s', (source, name, wanted) => {
    expect(quick(() => regExpTest(source)(name))).toBe(wanted);
  });
});

describe('expressions', () => {
  it.each([
    ['^stem|head$', 'head', true],
    ['\\d+', 'conv12', true],
    ['(?i)CONV', 'conv', true],
    ['^/layers\\.[0-3]/', '/layers.2/q', true],
    ['^/layers\\.[0-3]/', '/layers.4/q', false],
    ['a.c', 'a\nc', false],
  ])('%s on %s', (source, name, wanted) => {
    expect(regExpTest(source)(name)).toBe(wanted);
  });
  it.each(['(', '[', '(a)\\1', '(?=a)', '(?<!a)b', 'a{2000}', '((a{100}){100}){100}', 'x'.repeat(501)])(
    '%s is refused',
    (source) => {
      expect(() => regExpTest(source)).toThrowError(expect.objectContaining({ code: 'RECIPE_INVALID' }) as Error);
    },
  );
});
