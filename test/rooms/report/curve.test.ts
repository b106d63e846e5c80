/** Accuracy against multiply-accumulates in comparisons. */
import { describe, expect, it } from 'vitest';
import { curveOf, curveTable } from '../../../src/report/compare/curve.js';
import { renderCompareHtml, renderCompareMarkdown } from '../../../src/report/index.js';
import { makeComparison } from './compare-record.js';

const plain = makeComparison();
const [like] = plain.runs;
const swept = makeComparison('', {
  float: { ...plain.float, macs: 1000 },
  runs: (['taylor', 'l1'] as const).flatMap((name, k) =>
    [800, 502].map((macs, i) => ({
      ...like!,
      label: `importance=${name} macs=${macs / 1000}`,
      macs,
      metric: { ...like!.metric!, quantized: 90 - 10 * i - 2 * k },
    })),
  ),
});

describe('the curve', () => {
  it('has a line for each way, from the most work to the least', () => {
    expect(curveOf(swept)!.map((s) => [s.name, ...s.points.map((p) => [p.share, p.value])])).toEqual([
      ['importance=taylor', [0.8, 90], [0.502, 80]],
      ['importance=l1', [0.8, 88], [0.502, 78]],
    ]);
    expect(curveTable(curveOf(swept)!)[0]).toEqual(['', '80 % of the MACs', '50 % of the MACs']);
  });
  it('stands in both reports, and only where runs differ in their work', () => {
    expect(renderCompareMarkdown(swept)).toMatch(
      /## Accuracy against multiply-accumulates[\s\S]*importance=taylor.*90.00 %.*80.00 %/,
    );
    expect(renderCompareHtml(swept)).toContain('against multiply-accumulates');
    expect(curveOf(plain)).toBeUndefined();
    expect(renderCompareMarkdown(plain)).not.toContain('against multiply-accumulates');
  });
});
