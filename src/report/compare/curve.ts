/**
 * Accuracy against multiply-accumulates: a line for each way to make the model smaller, where runs differ in how much.
 */
import type { CompareRecord } from '../../record/index.js';
import { at } from '../html/charts.js';
import { html, type Markup } from '../html/markup.js';
import { metricValue } from '../summary.js';
import { isNumber, percent, visible } from '../text.js';

interface Point {
  /** Of those of the float model. */
  readonly share: number;
  readonly value: number;
  readonly shown: string;
}
export interface Series {
  readonly name: string;
  /** From the most work to the least. */
  readonly points: readonly Point[];
}

/** What says how much, in the label of a run of a sweep. */
const AMOUNT = /(^|\s)(left\.)?(macs|parameters|size|latency|blocks|energy)=[\d.]+(?=\s|$)/g;

/** Undefined where no way has two runs that differ in their work. */
export function curveOf(record: CompareRecord): readonly Series[] | undefined {
  const whole = record.float.macs;
  if (!isNumber(whole) || whole <= 0) return undefined;
  const found = new Map<string, Point[]>();
  for (const { label, outcome, macs, metric } of record.runs) {
    if (outcome !== 'ok' || !isNumber(macs) || !metric) continue;
    const name = label.replace(AMOUNT, ' ').replace(/\s+/g, ' ').trim() || 'all';
    const own = found.get(name) ?? [];
    found.set(name, own);
    own.push({ share: macs / whole, value: metric.quantized, shown: metricValue(metric, metric.quantized) });
  }
  const series = [...found].map(([name, points]) => ({ name, points: points.sort((a, b) => b.share - a.share) }));
  const differs = ({ points }: Series): boolean => (points[0]?.share ?? 0) - (points.at(-1)?.share ?? 0) > 0.01;
  return series.some(differs) ? series : undefined;
}

/** One row a way, one column a share of the work; shares that round alike are one column. */
export function curveTable(series: readonly Series[]): readonly (readonly string[])[] {
  const columns = [...new Set(series.flatMap((s) => s.points.map((p) => columnOf(p))))].sort((a, b) => b - a);
  return [
    ['', ...columns.map((c) => `${c} % of the MACs`)],
    ...series.map((s) => [s.name, ...columns.map((c) => s.points.find((p) => columnOf(p) === c)?.shown ?? '–')]),
  ];
}
const columnOf = ({ share }: Point): number => Math.round(100 * share);

const [HEIGHT, TOP, BOTTOM] = [300, 26, 46];

/** The same as lines. */
export function curve(record: CompareRecord): Markup | undefined {
  const series = curveOf(record);
  const metric = record.runs.find((r) => r.metric)?.metric;
  if (!series || !metric) return undefined;
  const all = series.flatMap((s) => s.points);
  const [left, right] = padded(all.map((p) => p.share));
  const [low, high] = padded(all.map((p) => p.value));
  const x = (share: number): number => 0.05 + (0.72 * (share - left)) / (right - left);
  const y = (value: number): number => {
    const part = (value - low) / (high - low);
    return Math.round(TOP + (HEIGHT - TOP - BOTTOM) * (metric.higherIsBetter ? 1 - part : part));
  };
  const title = `${visible(metric.name, 40)} against multiply-accumulates`;
  const lines = series.map(({ points }) =>
    points.slice(1).map((p, i) => {
      const before = points[i];
      return (
        before &&
        html`<line class="pareto" x1="${at(x(before.share))}" y1="${y(before.value)}" x2="${at(x(p.share))}" y2="${y(
          p.value,
        )}"/>`
      );
    }),
  );
  const dots = series.map((s) =>
    s.points.map(
      (p) =>
        html`<circle class="dot front" cx="${at(x(p.share))}" cy="${y(p.value)}" r="4"><title>${visible(
          s.name,
          80,
        )}: ${p.shown} at ${percent(p.share)} of the MACs</title></circle>`,
    ),
  );
  // Names stand behind the dot of the most work, one below the other where they would meet.
  const taken: number[] = [];
  const names = series.map((s) => {
    const [first] = s.points;
    if (!first) return undefined;
    let height = y(first.value) + 4;
    while (taken.some((t) => Math.abs(t - height) < 13)) height += 13;
    taken.push(height);
    return html`<text class="strong" x="${at(x(right) - 0.03)}" y="${height}">${visible(s.name, 40)}</text>`;
  });
  const shares = [...new Set(all.map(columnOf))].map(
    (c) => html`<text x="${at(x(c / 100))}" y="${HEIGHT - 26}" text-anchor="middle">${c} %</text>`,
  );
  return html`<figure class="chart"><svg height="${HEIGHT}" role="img" aria-label="${title}; the table has the numbers"><text class="strong" x="0" y="12">${title}</text>${lines}${dots}${names}${shares}</svg><figcaption>Share of the multiply-accumulates of the float model that is left; a line joins runs that differ in nothing else.</figcaption></figure>`;
}

function padded(values: readonly number[]): readonly [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = (high - low || 1) * 0.08;
  return [low - pad, high + pad];
}
