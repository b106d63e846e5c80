/** Small drawings as inline SVG. Text stays outside of them, since they stretch with the page. */
import type { MetricFacts, PointFacts } from '../../record/index.js';
import { isNumber, real, signed } from '../text.js';
import { html, type Markup } from './markup.js';

const BINS = 64;
const WIDTH = 256;
const HEIGHT = 40;

/**
 * What calibration saw, as bars of logarithmic height, with the chosen range as two lines and what is outside shaded.
 * Undefined without a histogram. Channels are drawn together: the lines are the widest range.
 */
export function histogram(point: PointFacts): Markup | undefined {
  const h = point.histogram;
  if (!h || !isNumber(h.low) || !isNumber(h.high) || !(h.high > h.low) || !h.counts.length) return undefined;
  const merged = merge(h.counts);
  const min = least(point.min);
  const max = most(point.max);
  const low = Math.min(h.low, min ?? h.low);
  const high = Math.max(h.high, max ?? h.high);
  const x = (value: number): number => Math.round(((value - low) / (high - low)) * WIDTH * 10) / 10;
  const top = Math.log1p(merged.reduce((a, b) => Math.max(a, b), 1));
  const start = x(h.low);
  const step = (x(h.high) - start) / merged.length;
  let path = `M${start} ${HEIGHT}`;
  merged.forEach((n, i) => { path += `V${Math.round(HEIGHT - (Math.log1p(n) / top) * (HEIGHT - 2))}H${Math.round((start + (i + 1) * step) * 10) / 10}`; });
  path += `V${HEIGHT}Z`;
  const limits = [min, max].filter((v) => v !== undefined);
  const label = `histogram from ${real(h.low)} to ${real(h.high)}${min !== undefined && max !== undefined ? `, chosen range ${real(min)} to ${real(max)}` : ''}`;
  return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${label}">${min !== undefined && html`<rect class="beyond" x="0" y="0" width="${x(min)}" height="${HEIGHT}"/>`}${max !== undefined && html`<rect class="beyond" x="${x(max)}" y="0" width="${Math.max(0, WIDTH - x(max))}" height="${HEIGHT}"/>`}<path class="bar" d="${path}"/><line class="axis" x1="0" x2="${WIDTH}" y1="${HEIGHT}" y2="${HEIGHT}"/>${limits.map((v) => html`<line class="limit" x1="${x(v)}" x2="${x(v)}" y1="0" y2="${HEIGHT}"/>`)}</svg><span class="ends"><span>${real(low)}</span><span>${real(high)}</span></span>`;
}

/** The change of a metric as a dot on its 95 % interval, with a line at no change. */
export function intervalBar(m: MetricFacts): Markup | undefined {
  if (!m.interval || !isNumber(m.change) || !isNumber(m.interval[0]) || !isNumber(m.interval[1])) return undefined;
  const [low, high] = m.interval;
  const reach = Math.max(Math.abs(low), Math.abs(high), 1e-12) * 1.08;
  const x = (value: number): number => Math.round(((value + reach) / (2 * reach)) * 2000) / 10;
  const digits = m.unit === '%' ? 2 : 4;
  return html`<svg class="interval" viewBox="0 0 200 24" preserveAspectRatio="none" role="img" aria-label="95 % interval from ${signed(low, digits)} to ${signed(high, digits)}"><line class="axis" x1="0" x2="200" y1="12" y2="12"/><line class="zero" x1="100" x2="100" y1="2" y2="22"/><line class="ci" x1="${x(low)}" x2="${x(high)}" y1="12" y2="12"/><rect class="dot" x="${x(m.change) - 1.5}" y="6" width="3" height="12"/></svg><span class="ends"><span>${signed(-reach, digits)}</span><span>no change</span><span>${signed(reach, digits)}</span></span>`;
}

function merge(counts: readonly number[]): number[] {
  const per = Math.max(1, Math.ceil(counts.length / BINS));
  const out: number[] = [];
  for (let i = 0; i < counts.length; i += per) {
    let sum = 0;
    for (let j = i; j < Math.min(counts.length, i + per); j++) sum += Math.max(0, counts[j] ?? 0);
    out.push(sum);
  }
  return out;
}
const least = (values: readonly number[] | undefined): number | undefined => finite(values?.reduce((a, b) => Math.min(a, b), Infinity));
const most = (values: readonly number[] | undefined): number | undefined => finite(values?.reduce((a, b) => Math.max(a, b), -Infinity));
const finite = (v: number | undefined): number | undefined => (isNumber(v) ? v : undefined);
