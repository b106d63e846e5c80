/** What drawings of reports show: places, axes, counts and intervals, read back from the SVG. */
import { describe, expect, it } from 'vitest';
import { shareDropInterval } from '../../../src/evaluate/intervals.js';
import { renderCompareHtml } from '../../../src/report/compare/html.js';
import { distributions, roundTicks } from '../../../src/report/html/charts.js';
import { renderHtml } from '../../../src/report/html.js';
import type { SearchFacts } from '../../../src/record/index.js';
import { makeComparison } from './compare-record.js';
import { makeRecord } from './record.js';

/** The attributes of the first element of a name in some markup. */
function attributes(markup: string, element: string, kind?: string): Record<string, string> {
  const found = [...markup.matchAll(new RegExp(`<${element}\\b([^>]*)>`, 'g'))]
    .map(([, text]) => Object.fromEntries([...text!.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, k, v]) => [k!, v!])))
    .find((a) => kind === undefined || a.class?.split(' ').includes(kind)); // both groups always match
  if (!found) throw new Error(`no <${element}${kind === undefined ? '' : ` class="${kind}"`}> in ${markup}`);
  return found;
}
const percent = (text: string | undefined): number => Number(/^(-?[\d.]+)%$/.exec(text ?? '')?.[1] ?? NaN);
const number = (text: string): number => Number(text.replace('−', '-').replace('+', ''));

describe('bars by class', () => {
  const page = renderHtml(makeRecord(4));
  const table = page.slice(page.indexOf('By class, worst first'));
  const rows = [...table.slice(0, table.indexOf('</table>')).matchAll(/<tr><th scope="row">.*?<\/tr>/gs)].map(
    ([row]) => row,
  );
  const [low, middle, high] = [...table.matchAll(/<svg class="hbar" height="14" aria-hidden="true">(.*?)<\/svg>/gs)]
    .slice(0, 1)
    .flatMap(([, axis]) => [...axis!.matchAll(/>([^<]+)<\/text>/g)].map(([, text]) => text!));

  it('have an axis that is the same on both sides of 0 and holds every interval', () => {
    expect(middle).toBe('0');
    expect(number(low!)).toBeCloseTo(-number(high!), 9); // three texts
    const ends = [
      [0, 2],
      [10, 0],
      [1, 1],
      [3, 1],
    ].flatMap(([worse, better]) => shareDropInterval(worse!, better!, 500, 0.95).map(Math.abs)); // pairs
    expect(number(high!)).toBeCloseTo(100 * Math.max(...ends), 1);
  });
  it('begin with the class that lost most, with counts of samples and of answers that turned', () => {
    expect(rows.map((r) => /<th scope="row">(?:<[^>]*>)*([a-z]+)/.exec(r)?.[1])).toEqual([
      'dog',
      'frog',
      'ship',
      'cat',
    ]);
    const counts = rows.map((r) =>
      [...r.matchAll(/<td class="num" data-v="[^"]*">([\d,]+)<\/td>/g)].map(([, n]) => Number(n)),
    );
    expect(counts).toEqual([
      [500, 10, 0],
      [500, 3, 1],
      [500, 1, 1],
      [500, 0, 2],
    ]);
  });
  it('reach from 0 to the change, with the interval as a line through its end', () => {
    const most = number(high!);
    const changes = [-2, -0.4, 0, 0.4];
    rows.forEach((row, i) => {
      const bar = attributes(row, 'rect', 'plain');
      const whisker = attributes(row, 'line', 'whisker');
      const end = 50 + (50 * changes[i]!) / most; // one for each row
      expect(percent(attributes(row, 'line', 'zero').x1)).toBe(50);
      expect(percent(bar.x)).toBeCloseTo(Math.min(50, end), 0);
      expect(percent(bar.width)).toBeCloseTo(Math.abs(end - 50), 0);
      expect(percent(whisker.x1)).toBeLessThan(end);
      expect(percent(whisker.x2)).toBeGreaterThan(end);
    });
    // 10 of 500 lost: the interval of the change is told beside the bar, and said to those who do not see it
    expect(attributes(rows[0]!, 'svg').class).toBe('hbar');
    expect(rows[0]).toMatch(/aria-label="−2\.0 points, 95 % interval −\d\.\d to −\d\.\d"/);
  });
});

describe('histograms of latency', () => {
  const times = (
    p50: number,
    low: number,
    high: number,
    counts: readonly number[],
  ): Parameters<typeof distributions>[0] => ({
    p50,
    p90: p50,
    p99: high,
    mean: p50,
    histogram: { low, high, counts: [...counts] },
  });
  const drawn = (
    float: Parameters<typeof distributions>[0],
    quantized: Parameters<typeof distributions>[0],
  ): string[] =>
    [...(distributions(float, quantized)?.text ?? '').matchAll(/<svg class="(?:spread|ticks)".*?<\/svg>/gs)].map(
      ([svg]) => svg,
    );
  const bars = (svg: string): { x: number; width: number; height: number }[] =>
    [...svg.matchAll(/<rect class="\w+" x="([\d.]+)%" y="[\d.]+" width="([\d.]+)%" height="([\d.]+)"/g)].map(
      ([, x, width, height]) => ({ x: Number(x), width: Number(width), height: Number(height) }),
    );

  it('share their bins, whatever bins the runs were counted in', () => {
    // 4 bins of 1 ms, and 40 of 0.1 ms, over the same 4 to 8 ms
    const [float, quantized] = drawn(times(6, 4, 8, [5, 10, 10, 5]), times(6, 4, 8, new Array<number>(40).fill(1))).map(
      bars,
    );
    const widths = new Set([...float!, ...quantized!].map((b) => b.width)); // two rows
    expect([...widths]).toEqual([1.3]); // 80 bins of 1.25 %
    // places are rounded to 0.1 %
    for (const b of [...float!, ...quantized!])
      expect(Math.abs(b.x / 1.25 - Math.round(b.x / 1.25))).toBeLessThanOrEqual(0.05 / 1.25 + 1e-9);
    expect(float!.map((b) => b.height)).toEqual([30, 60, 60, 30]);
    expect(new Set(quantized!.map((b) => b.height))).toEqual(new Set([60]));
  });
  it('stand on one axis: what is twice as fast lies left', () => {
    const [float, quantized, ticks] = drawn(times(8, 7, 9, [1, 2, 1]), times(4, 3, 5, [1, 2, 1]));
    const middle = (svg: string): number => bars(svg).find((b) => b.height === 60)!.x; // the tallest
    expect(middle(quantized!)).toBeCloseTo(100 / 6, -1);
    expect(middle(float!)).toBeCloseTo(500 / 6, -1);
    expect(percent(attributes(quantized!, 'line', 'limit').x1)).toBeCloseTo(100 / 6, 0); // 4 of 3 to 9 ms
    expect(percent(attributes(float!, 'line', 'limit').x1)).toBeCloseTo(500 / 6, 0);
    expect([...ticks!.matchAll(/>([\d.]+ ms)</g)].map(([, t]) => t)).toEqual(['4 ms', '6 ms', '8 ms']);
  });
  it('leave one slow run out of the axis, and tell of it', () => {
    const slow = { ...times(2, 1, 101, [99, ...new Array<number>(98).fill(0), 1]), p99: 2.5 };
    const page = drawn(slow, times(2, 1, 3, [1, 1])).join('');
    expect(page).toContain('1 slower →');
    expect(page).not.toContain('100 ms');
  });
  it('draw nothing where there are none, or no room', () => {
    const bare = { p50: 1, p90: 1, p99: 1, mean: 1 };
    expect(distributions(bare, bare)).toBeUndefined();
    expect(distributions(times(1, 1, 1, [3]), bare)).toBeUndefined();
  });
});

describe('roundTicks', () => {
  it.each([
    [0, 10, 5, [0, 2, 4, 6, 8, 10]],
    [0.31, 0.95, 5, [0.4, 0.6, 0.8]],
    [-1, 1, 4, [-1, -0.5, 0, 0.5, 1]],
    [3, 3, 5, [3]],
  ])('%d to %d, about %d', (low, high, most, ticks) => {
    expect(roundTicks(low, high, most)).toEqual(ticks);
  });
});

describe('the scatter of a comparison', () => {
  // there is one
  const svg = /<figure class="chart scatter">(.*?)<\/figure>/s.exec(renderCompareHtml(makeComparison()))![1]!;
  const dots = [...svg.matchAll(/<circle class="([^"]*)" cx="([\d.]+)%" cy="(\d+)" r="6"><title>([^:]+):/g)].map(
    ([, kinds, x, y, label]) => ({ kinds, x: Number(x), y: Number(y), label }),
  );
  // below: labels that exist
  const dot = (label: string): (typeof dots)[number] => dots.find((d) => d.label === label)!;

  it('puts faster to the left and better up, float at no change', () => {
    const byTime = [...dots].sort((a, b) => a.x - b.x).map((d) => d.label);
    expect(byTime).toEqual(['int8-minmax', 'int8-kl', 'int8-percentile', 'int8-mse', 'int8-dynamic']);
    const byChange = [...dots].sort((a, b) => a.y - b.y).map((d) => d.label);
    expect(byChange).toEqual(['int8-mse', 'int8-dynamic', 'int8-kl', 'int8-percentile', 'int8-minmax']);
    const float = attributes(svg, 'rect', 'float');
    const zero = Number(attributes(svg, 'line', 'zero').y1);
    expect(Number(float.y) + 4).toBe(zero);
    expect(percent(float.x)).toBeGreaterThan(dot('int8-mse').x); // 0.761 ms
    expect(percent(float.x)).toBeLessThan(dot('int8-dynamic').x); // 0.83 ms
  });
  it('places dots by their numbers, on an axis with round ticks', () => {
    // between 0.342 ms and 0.83 ms, 0.345 lies where it should
    const [kl, slow, percentile] = [dot('int8-kl'), dot('int8-dynamic'), dot('int8-percentile')];
    expect(percentile.x).toBeCloseTo(kl.x + ((slow.x - kl.x) * (0.345 - 0.342)) / (0.83 - 0.342), 0);
    expect(svg).toContain('← faster · latency p50 (ms)');
    expect(svg).toContain('change of top1 (points)');
  });
  it('fills what is on the front, marks the choice, and leaves the failed run out', () => {
    expect(dots).toHaveLength(5);
    expect(dots.filter((d) => d.kinds!.includes('front')).map((d) => d.label)).toEqual([
      'int8-kl',
      'int8-minmax',
      'int8-mse',
    ]);
    expect(dots.filter((d) => d.kinds!.includes('chosen')).map((d) => d.label)).toEqual(['int8-kl']);
    expect(svg).not.toContain('int4-kl');
  });
});

describe("auto's verdict", () => {
  const record = makeRecord(4);
  const search = (outcome: 'met' | 'missed'): SearchFacts => ({
    objective: 'latency',
    metric: 'top1',
    unit: '%',
    limit: 0.5,
    limitText: '0.5 points',
    timeBudgetMs: 60_000,
    ms: 42_000,
    searchSamples: 500,
    heldOutSamples: 1500,
    trials: [],
    heldOut: [],
    chosen: 'int8',
    outcome,
    sentence: 'int8 is the fastest.',
    notes: [],
  });
  const first = (page: string): string => page.slice(page.indexOf('<main'), page.indexOf('<section'));
  it.each([
    ['met', 'better', 'The limit is kept'],
    ['missed', 'worse', 'The limit is not kept'],
  ] as const)('%s stands on the first screen, before any section', (outcome, tone, words) => {
    const page = renderHtml({ ...record, search: search(outcome) });
    const head = first(page);
    expect(head).toContain(`<p class="verdict ${tone}"><strong>${words}: int8 is the fastest.`);
    expect(head).toMatch(/search \d+ s, of which this run/);
  });
  it('gives way to the failure of a run', () => {
    const page = first(renderHtml({ ...record, search: search('met'), outcome: 'failed' }));
    expect(page).not.toContain('The limit is kept');
  });
});
