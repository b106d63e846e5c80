/** Accuracy change against latency, one dot a run, with intervals as whiskers and the Pareto front. */
import type { CompareRecord, CompareRun } from '../../record/index.js';
import { at } from '../html/charts.js';
import { html, type Markup, type Part } from '../html/markup.js';
import { metricChange } from '../summary.js';
import { fixed, isNumber, ms, signed, visible } from '../text.js';
import { letter } from './columns.js';

const HEIGHT = 380;
const TOP = 26;
const BOTTOM = 46;
/** Width for which labels are placed; narrower windows show letters. */
const USUAL = 760;

interface Dot {
  readonly run: CompareRun;
  readonly letter: string;
  readonly x: number;
  readonly y: number;
  readonly change: number;
  readonly latency: number;
}

/** Undefined where fewer than two runs have both an accuracy and a latency: a line of the table says that better. */
export function scatter(record: CompareRecord): Markup | undefined {
  const measured = record.runs
    .map((run, i) => ({
      run,
      letter: letter(i),
      change: run.metric?.change ?? run.metric?.quantized,
      latency: run.latencyMs,
    }))
    .filter(
      (d): d is { run: CompareRun; letter: string; change: number; latency: number } =>
        d.run.outcome === 'ok' && isNumber(d.change) && isNumber(d.latency),
    );
  const metric = measured[0]?.run.metric;
  if (measured.length < 2 || !metric) return undefined;
  const asChange = measured.every((d) => isNumber(d.run.metric?.change));
  const float = asChange && isNumber(record.float.latencyMs) ? record.float.latencyMs : undefined;
  const xs = range([
    ...measured.flatMap((d) => [d.latency, ...(d.run.latencyInterval ?? [])]),
    ...(float === undefined ? [] : [float]),
  ]);
  const ys = range([
    ...measured.flatMap((d) => [d.change, ...(asChange ? (d.run.metric?.interval ?? []) : [])]),
    ...(asChange ? [0] : []),
  ]);
  const x = (v: number): number => 0.05 + (0.9 * (v - xs[0])) / (xs[1] - xs[0]);
  // Better is up, whatever the metric.
  const y = (v: number): number => {
    const share = (v - ys[0]) / (ys[1] - ys[0]);
    return Math.round(TOP + (HEIGHT - TOP - BOTTOM) * (metric.higherIsBetter ? 1 - share : share));
  };
  const dots = measured.map((d): Dot => ({ ...d, x: x(d.latency), y: y(d.change) }));
  const shown = (v: number): string =>
    asChange ? signed(v, metric.unit === '%' ? 2 : 4) : fixed(v, metric.unit === '%' ? 2 : 4);
  const unit = metric.unit === '%' ? (asChange ? 'points' : '%') : visible(metric.unit, 40);
  const title = `${asChange ? 'change of ' : ''}${visible(metric.name, 40)} (${unit})`;
  const grid = ticks(ys).map(
    (v) =>
      html`<line class="grid" x1="0" x2="100%" y1="${y(v)}" y2="${y(v)}"/><text x="0" y="${y(v) - 3}">${shown(
        v,
      )}</text>`,
  );
  const below = ticks(xs).map(
    (v) =>
      html`<line class="axis" x1="${at(x(v))}" x2="${at(x(v))}" y1="${HEIGHT - BOTTOM}" y2="${
        HEIGHT - BOTTOM + 5
      }"/><text x="${at(x(v))}" y="${HEIGHT - 26}" text-anchor="${
        x(v) < 0.08 ? 'start' : x(v) > 0.92 ? 'end' : 'middle'
      }">${ms(v)}</text>`,
  );
  return html`<figure class="chart scatter"><svg height="${HEIGHT}" role="img" aria-label="${
    title
  } against latency in ms; the table has the numbers"><text class="strong" x="0" y="12">↑ ${
    title
  }, better is up</text>${grid}${asChange && html`<line class="zero" x1="0" x2="100%" y1="${y(0)}" y2="${y(0)}"/>`}${
    below
  }<text class="strong" x="100%" y="${HEIGHT - 8}" text-anchor="end">← faster · latency p50 (ms)</text>${
    float !== undefined &&
    html`<rect class="float" x="${at(x(float))}" y="${y(0) - 4}" width="8" height="8"/><text x="${at(x(float))}" y="${
      y(0) - 9
    }" text-anchor="middle">float</text>`
  }${front(dots)}${dots.map((d) => whiskers(d, x, y, asChange))}${dots.map(
    (d) =>
      html`<circle class="dot${
        d.run.front && ' front'
      }${record.chosen?.label === d.run.label && ' chosen'}" cx="${at(d.x)}" cy="${d.y}" r="6"><title>${visible(
        d.run.label,
        120,
      )}: ${d.run.metric ? metricChange(d.run.metric) : ''}, ${ms(d.latency)}</title></circle>`,
  )}${labels(
    dots,
    float === undefined ? undefined : { x: x(float), y: y(0) },
  )}</svg><figcaption>Whiskers are 95 % intervals. Filled dots are on the front: no other run is as good in everything and better in something; the dashed line joins those that accuracy and latency alone put there. Narrow windows show the letters of the table.</figcaption></figure>`;
}

function range(values: readonly number[]): [number, number] {
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  const pad = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - pad, high + pad];
}

/** Three to seven round numbers within a range. */
function ticks([low, high]: readonly [number, number]): number[] {
  const rough = (high - low) / 6;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * ten).find((m) => m >= rough) ?? rough;
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.max(0, Math.floor(high / step) - first + 1) }, (_, i) => (first + i) * step);
}

function front(dots: readonly Dot[]): Part {
  // The front is over size and memory too: as a line only those that no faster run beats in accuracy make sense.
  const on = dots.filter((d) => d.run.front).sort((a, b) => a.latency - b.latency || a.y - b.y);
  const line = on.filter((d, i) => on.slice(0, i).every((faster) => d.y < faster.y));
  return line.slice(1).map((d, i) => {
    const before = line[i];
    return before && html`<line class="pareto" x1="${at(before.x)}" y1="${before.y}" x2="${at(d.x)}" y2="${d.y}"/>`;
  });
}

function whiskers(d: Dot, x: (v: number) => number, y: (v: number) => number, asChange: boolean): Part {
  const change = asChange ? d.run.metric?.interval : undefined;
  const latency = d.run.latencyInterval;
  return [
    change && html`<line class="whisker" x1="${at(d.x)}" x2="${at(d.x)}" y1="${y(change[0])}" y2="${y(change[1])}"/>`,
    latency &&
      html`<line class="whisker" x1="${at(x(latency[0]))}" x2="${at(x(latency[1]))}" y1="${d.y}" y2="${d.y}"/>`,
  ];
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}
const apart = (a: Box, b: Box): boolean => a.right < b.left || b.right < a.left || a.bottom < b.top || b.bottom < a.top;

/** Beside its dot, at the first of six places where it hides no dot and no other label. */
function labels(dots: readonly Dot[], float: { readonly x: number; readonly y: number } | undefined): Part {
  const taken: Box[] = [...dots, ...(float ? [float] : [])].map((d) => ({
    left: d.x * USUAL - 7,
    right: d.x * USUAL + 7,
    top: d.y - 7,
    bottom: d.y + 7,
  }));
  if (float)
    taken.push({ left: float.x * USUAL - 14, right: float.x * USUAL + 14, top: float.y - 20, bottom: float.y - 6 });
  return dots.map((d) => {
    const text = visible(d.run.label, 40);
    const width = text.length * 6.6;
    const px = d.x * USUAL;
    const places = [
      [10, 4],
      [-10, 4],
      [10, -9],
      [-10, -9],
      [10, 17],
      [-10, 17],
      [10, 30],
      [-10, 30],
      [10, -22],
      [-10, -22],
    ] as const;
    const boxes = places.map(([dx, dy]) => ({
      dx,
      dy,
      left: dx > 0 ? px + dx : px + dx - width,
      right: dx > 0 ? px + dx + width : px + dx,
      top: d.y + dy - 10,
      bottom: d.y + dy + 3,
    }));
    const free =
      boxes.find(
        (b) =>
          b.left >= 0 &&
          b.right <= USUAL &&
          b.top > TOP - 12 &&
          b.bottom < HEIGHT - BOTTOM + 8 &&
          taken.every((t) => apart(b, t)),
      ) ??
      boxes.find((b) => b.left >= 0 && b.right <= USUAL) ??
      boxes[0];
    if (!free) return undefined;
    taken.push(free);
    // x is in per cent and the distance in pixels, so the distance goes into dx.
    return html`<text class="strong wide-only" x="${at(d.x)}" dx="${free.dx}" y="${d.y + free.dy}" text-anchor="${
      free.dx > 0 ? 'start' : 'end'
    }">${text}</text><text class="strong narrow-only" x="${at(d.x)}" dx="9" y="${d.y + 4}">${d.letter}</text>`;
  });
}
