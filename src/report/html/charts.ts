/**
 * Drawings as inline SVG. Places along x are in per cent of the width and heights in pixels, so that drawings fill any
 * width and their text keeps its size.
 */
import type { RunTimes } from '../../record/index.js';
import { isNumber, ms } from '../text.js';
import { html, type Markup, type Part } from './markup.js';

/** A share 0…1 of the width, as SVG attributes want it. */
export const at = (share: number): string => `${!isNumber(share) ? 0 : Math.round(Math.min(1, Math.max(0, share)) * 1000) / 10}%`;
/** Text that grows away from the nearer edge, so that it does not leave the drawing. */
export const anchorAt = (share: number): string => (share < 0.25 ? 'start' : share > 0.75 ? 'end' : 'middle');

/** A bar whose length is a share 0…1 of its cell. */
export const bar = (share: number, kind: 'float' | 'int' | 'plain' = 'plain'): Markup => html`<svg class="hbar" height="12" aria-hidden="true"><rect class="${kind}" x="0" y="1" width="${at(share)}" height="10"/></svg>`;

export interface Margin {
  readonly value: number;
  readonly interval: readonly [number, number];
  /** Where the allowed part ends; what lies beyond it, seen from 0, is shaded. */
  readonly limit?: number | undefined;
  readonly shade?: boolean;
  /** Where nothing changed: 0 for differences, 1 for ratios. */
  readonly zero?: number;
  /** Whether the place of no change is drawn. */
  readonly mark?: boolean;
  readonly shown: (value: number) => string;
}
/** A value as a dot on its interval, with the limit that a gate sets and the place of no change. */
export function marginBar({ value, interval, limit, shade = true, zero = 0, mark = true, shown }: Margin): Markup | undefined {
  if (![value, ...interval, limit ?? 0].every(isNumber)) return undefined;
  const [low, high] = interval;
  const ends = [low, high, value, zero, limit ?? zero];
  const from = Math.min(...ends);
  const to = Math.max(...ends);
  const pad = (to - from || 1) * 0.12;
  const x = (v: number): number => (v - from + pad) / (to - from + 2 * pad);
  const below = limit !== undefined && limit < zero;
  const words = `${shown(value)}, 95 % interval ${shown(low)} to ${shown(high)}${limit === undefined ? '' : `, limit ${shown(limit)}`}`;
  const near = limit !== undefined && Math.abs(x(limit) - x(zero)) < 0.4;
  return html`<svg class="margin" height="46" role="img" aria-label="${words}">${limit !== undefined && shade && html`<rect class="beyond" x="${below ? '0%' : at(x(limit))}" y="0" width="${below ? at(x(limit)) : at(1 - x(limit))}" height="26"/>`}<line class="axis" x1="0" x2="100%" y1="13" y2="13"/>${mark && html`<line class="zero" x1="${at(x(zero))}" x2="${at(x(zero))}" y1="3" y2="23"/>`}${limit !== undefined && html`<line class="limit" x1="${at(x(limit))}" x2="${at(x(limit))}" y1="0" y2="26"/><text x="${at(x(limit))}" y="41" text-anchor="${anchorAt(x(limit))}">limit ${shown(limit)}</text>`}<line class="ci" x1="${at(x(low))}" x2="${at(x(high))}" y1="13" y2="13"/><circle class="dot" cx="${at(x(value))}" cy="13" r="5"/>${mark && !near && html`<text x="${at(x(zero))}" y="41" text-anchor="${anchorAt(x(zero))}">${shown(zero)}</text>`}</svg>`;
}

/** How long the runs took, float above quantized on one axis in ms. Undefined without histograms. */
export function distributions(float: RunTimes, quantized: RunTimes): Markup | undefined {
  const rows = [['float', float], ['quantized', quantized]] as const;
  const drawn = rows.filter(([, t]) => t.histogram && t.histogram.high > t.histogram.low && t.histogram.counts.length > 0);
  if (!drawn.length) return undefined;
  const from = Math.min(...drawn.map(([, t]) => t.histogram!.low)); // filtered to those that have one
  // A single run that another process delayed would press all others into a corner.
  const to = Math.min(Math.max(...drawn.map(([, t]) => t.histogram!.high)), Math.max(...drawn.map(([, t]) => t.p99)) * 1.3);
  if (!(to > from)) return undefined;
  const x = (v: number): number => (v - from) / (to - from);
  const row = ([name, t]: (typeof rows)[number]): Part => {
    const h = t.histogram!; // filtered
    const width = (h.high - h.low) / h.counts.length;
    const most = h.counts.reduce((a, b) => Math.max(a, b), 1);
    let beyond = 0;
    const bars = h.counts.map((n, i) => {
      const start = x(h.low + i * width);
      if (start >= 1) beyond += n;
      const tall = Math.round((n / most) * 60 * 10) / 10;
      return n > 0 && start < 1 && html`<rect class="${name === 'float' ? 'float' : 'int'}" x="${at(start)}" y="${Math.round((78 - tall) * 10) / 10}" width="${at(Math.max(0.002, Math.min(1, start + x(from + width)) - start))}" height="${tall}"/>`;
    });
    return html`<svg class="spread" height="82" role="img" aria-label="${name}: median ${ms(t.p50)}, p99 ${ms(t.p99)}">${bars}<line class="axis" x1="0" x2="100%" y1="78.5" y2="78.5"/><line class="limit" x1="${at(x(t.p50))}" x2="${at(x(t.p50))}" y1="14" y2="82"/><text class="strong" x="${at(x(t.p50))}" y="11" text-anchor="${anchorAt(x(t.p50))}">${name}, median ${ms(t.p50)}</text>${beyond > 0 && html`<text x="100%" y="72" text-anchor="end">${beyond} slower →</text>`}</svg>`;
  };
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((s) => html`<text x="${at(s)}" y="12" text-anchor="${s === 0 ? 'start' : s === 1 ? 'end' : 'middle'}">${ms(from + s * (to - from))}</text>`);
  return html`<figure class="chart"><figcaption>Runs by duration; each height is a share of the tallest bar</figcaption>${drawn.map(row)}<svg class="ticks" height="16" aria-hidden="true">${ticks}</svg></figure>`;
}
