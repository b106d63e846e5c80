/**
 * Drawings as inline SVG. Places along x are in per cent of the width and heights in pixels, so that drawings fill any
 * width and their text keeps its size.
 */
import type { RunTimes } from '../../record/index.js';
import { isNumber, ms, real } from '../text.js';
import { html, type Markup, type Part } from './markup.js';

/** A share 0…1 of the width, as SVG attributes want it. */
export const at = (share: number): string =>
  `${!isNumber(share) ? 0 : Math.round(Math.min(1, Math.max(0, share)) * 1000) / 10}%`;
/** Text that grows away from the nearer edge, so that it does not leave the drawing. */
export const anchorAt = (share: number): string => (share < 0.25 ? 'start' : share > 0.75 ? 'end' : 'middle');

/** A bar whose length is a share 0…1 of its cell. */
export const bar = (share: number, kind: 'float' | 'int' | 'plain' = 'plain'): Markup =>
  html`<svg class="hbar" height="12" aria-hidden="true"><rect class="${kind}" x="0" y="1" width="${at(
    share,
  )}" height="10"/></svg>`;

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
export function marginBar({
  value,
  interval,
  limit,
  shade = true,
  zero = 0,
  mark = true,
  shown,
}: Margin): Markup | undefined {
  if (![value, ...interval, limit ?? 0].every(isNumber)) return undefined;
  const [low, high] = interval;
  const ends = [low, high, value, zero, limit ?? zero];
  const from = Math.min(...ends);
  const to = Math.max(...ends);
  const pad = (to - from || 1) * 0.12;
  const x = (v: number): number => (v - from + pad) / (to - from + 2 * pad);
  const below = limit !== undefined && limit < zero;
  const words =
    `${shown(value)}, 95 % interval ${shown(low)} to ` +
    `${shown(high)}${limit === undefined ? '' : `, limit ${shown(limit)}`}`;
  const near = limit !== undefined && Math.abs(x(limit) - x(zero)) < 0.4;
  return html`<svg class="margin" height="46" role="img" aria-label="${words}">${
    limit !== undefined &&
    shade &&
    html`<rect class="beyond" x="${below ? '0%' : at(x(limit))}" y="0" width="${
      below ? at(x(limit)) : at(1 - x(limit))
    }" height="26"/>`
  }<line class="axis" x1="0" x2="100%" y1="13" y2="13"/>${
    mark && html`<line class="zero" x1="${at(x(zero))}" x2="${at(x(zero))}" y1="3" y2="23"/>`
  }${
    limit !== undefined &&
    html`<line class="limit" x1="${at(x(limit))}" x2="${at(
      x(limit),
    )}" y1="0" y2="26"/><text x="${at(x(limit))}" y="41" text-anchor="${anchorAt(x(limit))}">limit ${shown(
      limit,
    )}</text>`
  }<line class="ci" x1="${at(x(low))}" x2="${at(x(high))}" y1="13" y2="13"/><circle class="dot" cx="${at(
    x(value),
  )}" cy="13" r="5"/>${
    mark && !near && html`<text x="${at(x(zero))}" y="41" text-anchor="${anchorAt(x(zero))}">${shown(zero)}</text>`
  }</svg>`;
}

/** A change on an axis from −`most` to +`most` with 0 in its middle, and its interval as a line. */
export function changeBar(change: number, interval: readonly [number, number], most: number, words: string): Markup {
  const x = (v: number): number => 0.5 + v / (2 * most);
  const [from, to] = [Math.min(x(0), x(change)), Math.max(x(0), x(change))];
  return html`<svg class="hbar" height="14" role="img" aria-label="${words}"><rect class="plain" x="${at(
    from,
  )}" y="3" width="${at(
    to - from,
  )}" height="8"/><line class="zero" x1="50%" x2="50%" y1="0" y2="14"/><line class="whisker" x1="${at(
    x(interval[0]),
  )}" x2="${at(x(interval[1]))}" y1="7" y2="7"/></svg>`;
}
/** The axis of such bars, for the head of their column. */
export const changeAxis = (most: number, shown: (v: number) => string): Markup =>
  html`<svg class="hbar" height="14" aria-hidden="true"><text x="0" y="11">${shown(
    -most,
  )}</text><text x="50%" y="11" text-anchor="middle">0</text><text x="100%" y="11" text-anchor="end">${shown(
    most,
  )}</text></svg>`;

/** Round places on an axis, at most about `most` of them. */
export function roundTicks(low: number, high: number, most = 6): number[] {
  const rough = (high - low) / most;
  if (!(rough > 0)) return [low];
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * ten).find((s) => s >= rough * 0.999) ?? rough;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.max(0, Math.floor(high / step + 1e-9) - first + 1) }, (_, i) =>
    Number(((first + i) * step).toPrecision(12)),
  );
}

/** Bins of both distributions over their common axis. */
const BINS = 80;

/** How long the runs took, float above quantized on one axis in ms. Undefined without histograms. */
export function distributions(float: RunTimes, quantized: RunTimes): Markup | undefined {
  const rows = [
    ['float', float],
    ['quantized', quantized],
  ] as const;
  const drawn = rows.filter(
    ([, t]) => t.histogram && t.histogram.high > t.histogram.low && t.histogram.counts.length > 0,
  );
  if (!drawn.length) return undefined;
  const from = Math.min(...drawn.map(([, t]) => t.histogram!.low)); // filtered to those that have one
  // A single run that another process delayed would press all others into a corner.
  const to = Math.min(
    Math.max(...drawn.map(([, t]) => t.histogram!.high)),
    Math.max(...drawn.map(([, t]) => t.p99)) * 1.3,
  );
  if (!(to > from)) return undefined;
  const x = (v: number): number => (v - from) / (to - from);
  /**
   * Both on the same bins, so that heights and widths can be compared; each of its own bins goes where its middle lies.
   */
  const shared = (h: NonNullable<RunTimes['histogram']>): { readonly counts: number[]; readonly beyond: number } => {
    const counts = new Array<number>(BINS).fill(0);
    let beyond = 0;
    h.counts.forEach((n, i) => {
      const bin = Math.floor(x(h.low + ((i + 0.5) * (h.high - h.low)) / h.counts.length) * BINS);
      if (bin >= BINS) beyond += n;
      else counts[Math.max(0, bin)]! += n; // within the list
    });
    return { counts, beyond };
  };
  const row = ([name, t]: (typeof rows)[number]): Part => {
    const { counts, beyond } = shared(t.histogram!); // filtered
    const most = counts.reduce((a, b) => Math.max(a, b), 1);
    const bars = counts.map((n, i) => {
      const tall = Math.round((n / most) * 60 * 10) / 10;
      return (
        n > 0 &&
        html`<rect class="${name === 'float' ? 'float' : 'int'}" x="${at(i / BINS)}" y="${
          Math.round((78 - tall) * 10) / 10
        }" width="${at(1 / BINS)}" height="${tall}"/>`
      );
    });
    return html`<svg class="spread" height="82" role="img" aria-label="${name}: median ${ms(t.p50)}, p99 ${ms(
      t.p99,
    )}">${bars}<line class="axis" x1="0" x2="100%" y1="78.5" y2="78.5"/><line class="limit" x1="${at(
      x(t.p50),
    )}" x2="${at(x(t.p50))}" y1="14" y2="82"/><text class="strong" x="${at(x(t.p50))}" y="11" text-anchor="${anchorAt(
      x(t.p50),
    )}">${name}, median ${ms(t.p50)}</text>${
      beyond > 0 && html`<text x="100%" y="72" text-anchor="end">${beyond} slower →</text>`
    }</svg>`;
  };
  const ticks = roundTicks(from, to, 5).map(
    (v) =>
      html`<text x="${at(x(v))}" y="12" text-anchor="${x(v) < 0.06 ? 'start' : x(v) > 0.94 ? 'end' : 'middle'}">${real(
        v,
      )} ms</text>`,
  );
  return html`<figure class="chart"><figcaption>Runs by duration; each height is a share of the tallest bar</figcaption>${drawn.map(row)}<svg class="ticks" height="16" aria-hidden="true">${ticks}</svg></figure>`;
}
