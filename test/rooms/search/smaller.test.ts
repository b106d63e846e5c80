/** What a search may do to the float model first, and in which shares. */
import { describe, expect, it } from 'vitest';
import type { Candidate } from '../../../src/search/candidates.js';
import { allowedOf, Shares, smaller } from '../../../src/search/smaller.js';

describe('what may be tried', () => {
  it('is named, once each', () => {
    expect(allowedOf(['low-rank', 'prune', 'low-rank']).map((c) => c.name)).toEqual(['low-rank', 'prune']);
    expect(() => allowedOf(['prnue'])).toThrow(
      expect.objectContaining({
        code: 'USAGE',
        hint: expect.stringMatching(/did you mean prune\? --allow takes prune,/),
      }),
    );
  });
  it('asks for work where time counts, for bytes where size does, after what the recipe has', () => {
    const [prune] = allowedOf(['prune']);
    const of: Candidate = { label: 'int8 kl', why: '', family: 'static', adjust: ['equalise'], quantize: {} };
    const base = { compress: [{ name: 'prune', left: { macs: 0.9 } }] };
    expect(smaller(of, base, prune!, 0.5, 'latency')).toMatchObject({
      label: 'prune to 0.5 × + int8 kl',
      adjust: ['equalise'],
      compress: [...base.compress, { name: 'prune', left: { macs: 0.5 } }],
    });
    expect(smaller(of, { compress: [] }, prune!, 0.5, 'size').compress).toEqual([
      { name: 'prune', left: { size: 0.5 } },
    ]);
  });
});

describe('shares', () => {
  /** Those that are tried where a share down to `least` keeps the limit. */
  const tried = (least: number): number[] => {
    const shares = new Shares();
    const all: number[] = [];
    for (let s = shares.next(); s !== undefined; s = shares.next()) {
      all.push(s);
      shares.told(s >= least);
    }
    return all;
  };
  it('fall while the limit is kept, then halve the gap', () => {
    expect(tried(0.55)).toEqual([0.8, 0.65, 0.5, 0.57, 0.53]);
    expect(tried(0.7)).toEqual([0.8, 0.65, 0.73, 0.69]);
    expect(tried(0.95)).toEqual([0.8, 0.9, 0.95]);
    expect(tried(0)).toEqual([0.8, 0.65, 0.5, 0.35, 0.25]);
  });
});
