import { describe, expect, it } from 'vitest';
import { field, filled, item, named } from '../../../src/base/lists.js';

describe('elements that are known to be there', () => {
  it('are given, null and undefined among them', () => {
    expect([item([1, null], 1), item([undefined], 0), item('ab', 1)]).toEqual([null, undefined, 'b']);
    expect([named(new Map([['a', null]]), 'a'), field({ a: null }, 'a')]).toEqual([null, null]);
    expect(filled([0, null], 0)).toBe(0);
  });
  it('are a bug where they are not', () => {
    for (const index of [-1, 2, NaN, 0.5 + 2]) expect(() => item([1, 2], index)).toThrow(/has no element/);
    expect(() => filled([null], 0)).toThrow(/has nothing at 0/);
    expect(() => named(new Map<string, string>(), 'a')).toThrow(/lacks a key/);
    expect(() => field({}, 'a')).toThrow(/has no 'a'/);
  });
});
