import { describe, expect, it } from 'vitest';
import { compareRecordSpec } from '../../../src/record/compare.js';
import { runRecordSpec } from '../../../src/record/run.js';
import { compareColumns, isBest, letter } from '../../../src/report/compare/columns.js';
import { renderCompareHtml, renderCompareMarkdown } from '../../../src/report/index.js';
import { makeComparison } from './compare-record.js';
import { failedGate, makeRecord } from './record.js';

describe('the records of these tests', () => {
  it('fit the schemas', () => {
    expect(compareRecordSpec.safeParse(makeComparison()).error).toBeUndefined();
    expect(runRecordSpec.safeParse(makeRecord(4, '', { gate: failedGate })).error).toBeUndefined();
  });
});

describe('a comparison', () => {
  const record = makeComparison();
  it('marks the best of each column and what the measurements cannot tell from it, and none where that is all', () => {
    const best = Object.fromEntries(
      compareColumns(record).map((c) => [
        c.title,
        record.runs.filter((r) => isBest(c, r, record.runs)).map((r) => r.label),
      ]),
    );
    expect(best).toEqual({
      top1: [],
      change: [],
      'same answer': [],
      'latency p50': ['int8-kl', 'int8-minmax', 'int8-percentile', 'int8-mse'],
      'against float': ['int8-kl', 'int8-minmax', 'int8-percentile'],
      size: ['int8-kl', 'int8-minmax', 'int8-percentile', 'int8-mse'],
      'peak memory': [],
      'integer MACs': [],
    });
    expect([letter(0), letter(25), letter(26), letter(27), letter(702)]).toEqual(['A', 'Z', 'AA', 'AB', 'AAA']);
  });
  it('takes the lowest as best where lower is better', () => {
    const exact = ({ interval: _, ...m }: NonNullable<(typeof record.runs)[number]['metric']>) => ({
      ...m,
      name: 'perplexity',
      unit: 'perplexity',
      higherIsBetter: false,
    });
    const runs = record.runs.slice(0, 2).map((r) => ({ ...r, metric: exact(r.metric!) }));
    const column = compareColumns({ ...record, runs })[0]!;
    expect(runs.map((r) => isBest(column, r, runs))).toEqual([false, true]);
  });
  it('gives no mark for a difference that two sessions of one file have', () => {
    const column = compareColumns(record).find((c) => c.title === 'latency p50')!;
    const of = (...ms: number[]) =>
      ms.map((latencyMs, i) => ({
        ...record.runs[i]!,
        latencyMs,
        latencyInterval: [latencyMs * 0.999, latencyMs * 1.001] as const,
      }));
    const marks = (...ms: number[]): boolean[] => {
      const runs = of(...ms);
      return runs.map((r) => isBest(column, r, runs));
    };
    expect([marks(0.386, 0.396), marks(0.386, 0.396, 0.6), marks(0.386, 0.45)]).toEqual([
      [false, false],
      [true, true, false],
      [true, false],
    ]);
  });
  it('names the choice first, then one row a run, in Markdown', () => {
    const markdown = renderCompareMarkdown(record);
    expect(markdown.split('\n').slice(0, 3)).toEqual([
      '# observers',
      '',
      '**int8-kl is the fastest run whose drop is certainly below 0.5 points.**',
    ]);
    expect(markdown).toContain(
      '| `int8-kl` **chosen** | ✓ PASS | 97.30 % | −0.05 points (95 % CI −0.35 … +0.20) | 99.0 % | **0.342 ' +
        'ms** ★ (0.332 ms … 0.356 ms) | **2.23 ×** ★ (2.16 … 2.28) | **330 kB** ★ (0.28 × float) | 9.00 MB | ' +
        '98.0 % | yes | qdq, uint8 activations, kl |',
    );
    expect(markdown).toContain('- `int4-kl` QUANTIZE\\_COLLAPSED: agrees with float on 14 %');
    expect(markdown).toContain('| float |  | 97.35 % |  |  | 0.761 ms |  | 1.18 MB | 14.0 MB |  |  |  |');
    expect(markdown.match(/^\| `/gm)).toHaveLength(5);
  });
  it('draws each run that was measured, with whiskers and the front', () => {
    const page = renderCompareHtml(record);
    expect(page.match(/<circle class="dot/g)).toHaveLength(5);
    expect(page.match(/class="whisker"/g)).toHaveLength(10);
    expect(page.match(/class="pareto"/g)).toHaveLength(2); // minmax, kl, mse
    expect(page).toContain('<p class="verdict better">int8-kl is the fastest');
    expect(page).toContain('QUANTIZE_COLLAPSED: agrees with float');
    expect(page).toContain(
      '<tfoot><tr class="float"><th scope="row">float</th><td></td><td class="num">97.35\u00a0%</td>',
    );
    expect(page).toBe(renderCompareHtml(makeComparison()));
  });
  it('says why there is no choice, and draws nothing from one point', () => {
    const failed = { ...record, chosen: undefined, runs: [record.runs[5]!] };
    expect(renderCompareMarkdown(failed)).toContain('**All runs failed.**');
    expect(renderCompareHtml(failed)).not.toContain('<figure');
    expect(renderCompareHtml({ ...record, chosen: undefined, runs: [] })).toContain('There is no run to compare.');
    expect(renderCompareHtml({ ...record, runs: record.runs.slice(0, 1) })).not.toContain('<figure');
  });
  it('shows hostile names as text', () => {
    const page = renderCompareHtml(makeComparison('"><script>x</script>|`\n'));
    expect(page.match(/<script/g)).toHaveLength(1);
    expect(page).not.toContain('"><script>');
    const rows = renderCompareMarkdown(makeComparison('<b>|`'))
      .split('\n')
      .filter((l) => l.startsWith('| `'));
    expect(new Set(rows.map((l) => l.replaceAll('\\|', '').split('|').length))).toEqual(new Set([14]));
  });
});
