/** The tables of the page: layers, tensors, passes, latency, runtime. */
import type { NodeFacts, PointFacts, RunRecord } from '../../record/index.js';
import { span, spread } from '../markdown.js';
import { summaryTable } from '../summary.js';
import { big, count, fixed, isNumber, ms, percent, visible } from '../text.js';
import { histogram } from './charts.js';
import { html, name, type Markup, type Part } from './markup.js';

/** A cell that sorts by a number; without one it sorts as the smallest. */
const num = (shown: string, value: number | undefined): Markup => html`<td class="num" data-v="${isNumber(value) ? String(value) : ''}">${shown}</td>`;

/** A table in a box that scrolls sideways on its own, reachable by keyboard. */
export function table(head: Part, rows: readonly Markup[], label: string, sortable = false): Markup {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${label}"><table${sortable && html` data-sort`}><thead><tr>${head}</tr></thead><tbody>${rows}</tbody></table></div>`;
}

export function resultsTable(record: RunRecord): Markup {
  const rows = summaryTable(record).map((r) => html`<tr${r.note !== '' && html` class="above"`}><th scope="row">${r.metric}</th><td class="num">${r.float}</td><td class="num">${r.quantized}</td><td class="num ${r.tone}">${r.change}</td></tr>${r.note !== '' && html`<tr><td class="note" colspan="4">${r.note}</td></tr>`}`);
  return table(html`<th>result</th><th class="num">float</th><th class="num">quantized</th><th class="num">change</th>`, rows, 'results');
}

export function latencyTable({ latency: l }: RunRecord): Markup | undefined {
  if (!l) return undefined;
  const rows = (['p50', 'p90', 'p99', 'mean'] as const).map((p) => html`<tr><th scope="row">${p}</th><td class="num">${ms(l.floatMs[p])}</td><td class="num">${ms(l.quantizedMs[p])}</td><td class="num">${fixed(l.floatMs[p] / l.quantizedMs[p], 2)} ×</td></tr>`);
  const sure = l.speedupInterval ? ` (95 % interval ${fixed(l.speedupInterval[0], 2)} … ${fixed(l.speedupInterval[1], 2)})` : '';
  return html`${table(html`<th>one run</th><th class="num">float</th><th class="num">quantized</th><th class="num">float ÷ quantized</th>`, rows, 'latency')}
<p>The median of the pairwise ratios is ${fixed(l.speedup, 2)} ×${sure}; above 1 is faster. ${count(l.threads)} thread${l.threads !== 1 && 's'}, batch ${count(l.batch)}, ${count(l.runs)} runs of each model in turn after ${count(l.warmup)} that were not counted. Inputs: ${Object.entries(l.inputShapes).map(([input, dims], i) => html`${i > 0 && ', '}${name(input)} [${dims.join(', ')}]`)}.</p>`;
}

export function passesTable({ passes }: RunRecord): Markup {
  const rows = passes.map((p) => html`<tr><th scope="row">${name(p.pass)}</th><td class="num">${count(p.changes)}</td><td class="num">${count(p.nodesBefore)}</td><td class="num">${count(p.nodesAfter)}</td></tr>`);
  return table(html`<th>pass</th><th class="num">changes</th><th class="num">nodes before</th><th class="num">nodes after</th>`, rows, 'passes');
}

export function layersTable({ nodes }: RunRecord): Markup {
  const total = nodes.reduce((n, x) => n + x.macs, 0);
  const rows = nodes.map((n) => html`<tr><th scope="row">${name(n.name)}</th><td>${visible(n.op, 60)}</td>${num(n.macs ? big(n.macs) : '', n.macs)}${num(n.macs && total ? percent(n.macs / total) : '', n.macs)}<td>${n.planned}</td><td>${ran(n)}</td><td>${n.kernel === undefined ? '' : name(n.kernel, 80)}</td><td>${visible(n.because ?? '', 300)}</td></tr>`);
  return table(html`<th>node</th><th>op</th><th class="num">MACs</th><th class="num">share</th><th>planned</th><th>ran</th><th>kernel</th><th>why</th>`, rows, 'layers', true);
}

function ran(n: NodeFacts): Part {
  if (n.ranInteger === undefined) return n.macs > 0 ? 'not known' : '';
  if (n.ranInteger) return 'integer';
  return n.planned === 'integer' ? html`<span class="bad">float, not as planned</span>` : 'float';
}

export function tensorsTable(points: readonly PointFacts[]): Markup {
  const rows = points.map((p) => html`<tr><th scope="row">${name(p.name)}<span class="note">${about(p)}</span></th><td>${histogramCell(p)}</td><td class="num">${span(p.observedMin, p.observedMax)}</td><td class="num">${span(p.min, p.max)}</td>${num(spread(p.scale), p.scale?.reduce((a, b) => Math.max(a, b), 0))}<td class="num">${spread(p.zeroPoint)}</td>${num(isNumber(p.clipped) ? percent(p.clipped, 3) : '', p.clipped)}<td>${visible(p.because, 300)}</td></tr>`);
  return table(html`<th>tensor</th><th data-fixed>values seen</th><th class="num" data-fixed>seen</th><th class="num" data-fixed>chosen</th><th class="num">scale</th><th class="num" data-fixed>zero point</th><th class="num">clipped</th><th>why</th>`, rows, 'tensors', true);
}

const histogramCell = (p: PointFacts): Part => { const drawn = histogram(p); return drawn && html`<div class="histogram">${drawn}</div>`; };
/** Such as `activation, uint8 asymmetric per tensor, observed by kl`. */
const about = (p: PointFacts): string => [p.role, [p.dtype, p.symmetric === undefined ? undefined : p.symmetric ? 'symmetric' : 'asymmetric', p.granularity && `per ${visible(p.granularity, 40)}`].filter(Boolean).join(' '), `${p.kind}${p.observer ? ` by ${visible(p.observer, 60)}` : ''}`].filter(Boolean).join(', ');
