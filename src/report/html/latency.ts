/** Latency: the distribution of both models' runs, and where the time goes. */
import type { LatencyFacts, RunRecord, RunTimes } from '../../record/index.js';
import { speedText } from '../summary.js';
import { bytes, count, fixed, isNumber, many, ms, plain, signed, visible } from '../text.js';
import { bar, distributions } from './charts.js';
import { html, name, type Markup, type Part } from './markup.js';
import { section, table, together } from './page.js';

const MOST_NODES = 20;

export function latencySection(record: RunRecord): Part {
  const l = record.latency;
  if (!l) return undefined;
  return section(
    'Latency',
    speedText(l.speedup),
    html`${times(l)}${words(l)}${distributions(l.floatMs, l.quantizedMs)}${costs(l)}${perNode(record)}`,
    true,
  );
}

function times(l: LatencyFacts): Markup {
  const cell = (t: RunTimes, p: 'p50' | 'p90' | 'p99' | 'mean'): Markup => {
    const interval = p === 'mean' ? undefined : t[`${p}Interval`];
    return html`<td class="num">${ms(t[p])}${
      interval && html`<span class="note">${ms(interval[0])} … ${ms(interval[1])}</span>`
    }</td>`;
  };
  const rows = (['p50', 'p90', 'p99', 'mean'] as const).map(
    (p) =>
      html`<tr><th scope="row">${p}</th>${cell(l.floatMs, p)}${cell(l.quantizedMs, p)}<td class="num">${fixed(
        l.floatMs[p] / l.quantizedMs[p],
        2,
      )} ×</td></tr>`,
  );
  return table(
    html`<th>one run</th><th class="num">float</th><th class="num">quantized</th><th class="num">float ÷ quantized</th>`,
    rows,
    'latency',
  );
}

function words(l: LatencyFacts): Markup {
  const sure = l.speedupInterval
    ? ` (95 % interval ${fixed(l.speedupInterval[0], 2)} … ${fixed(l.speedupInterval[1], 2)})`
    : '';
  const intervals = l.floatMs.p50Interval ? ' Small figures are 95\u00a0% intervals.' : '';
  return html`<p>The median of the pairwise ratios is ${fixed(l.speedup, 2)} ×${sure}; above 1 is faster.${
    intervals
  } ${count(l.threads)} thread${l.threads !== 1 && 's'}, batch ${count(l.batch)}, ${count(
    l.runs,
  )} runs of each model in turn after ${count(l.warmup)} that were not counted. Inputs: ${Object.entries(
    l.inputShapes,
  ).map(([input, dims], i) => html`${i > 0 && ', '}${name(input)} [${dims.map(plain).join(', ')}]`)}.</p>`;
}

/** What else a user pays: loading, the first run, memory; and whether the machine was steady. */
function costs({ process: p, throughput: t, drift }: LatencyFacts): Part {
  const row = (title: string, float: string, quantized: string): Markup =>
    html`<tr><th scope="row">${title}</th><td class="num">${float}</td><td class="num">${quantized}</td></tr>`;
  const rate = (x: number): string => `${fixed(x, x < 100 ? 1 : 0)} /s`;
  const moved = (x: number): string => `${signed((x - 1) * 100, 1)} %`;
  const rows = [
    ...(t ? [row('throughput, samples', rate(t.float), rate(t.quantized))] : []),
    ...(p
      ? [
          row('load time', ms(p.float.loadMs), ms(p.quantized.loadMs)),
          row('first run', ms(p.float.firstRunMs), ms(p.quantized.firstRunMs)),
          row('peak memory', bytes(p.float.peakBytes), bytes(p.quantized.peakBytes)),
        ]
      : []),
    ...(drift ? [row('drift, second half against first', moved(drift.float), moved(drift.quantized))] : []),
  ];
  const restless = drift && Math.max(Math.abs(drift.float - 1), Math.abs(drift.quantized - 1)) > 0.1;
  return (
    rows.length > 0 &&
    html`${table(
      html`<th></th><th class="num">float</th><th class="num">quantized</th>`,
      rows,
      'loading, memory and throughput',
    )}${
      restless &&
      html`<p class="bad">The machine was not steady: the halves of the measurement differ by more than 10 %. Trust the ratio more than the times, and measure again.</p>`
    }`
  );
}

function perNode({ runtime }: RunRecord): Part {
  const p = runtime?.profile;
  if (!p?.layers.length) return undefined;
  const sorted = [...p.layers].sort(
    (a, b) => Math.max(b.floatUs ?? 0, b.quantizedUs ?? 0) - Math.max(a.floatUs ?? 0, a.quantizedUs ?? 0),
  );
  const most = Math.max(sorted[0]?.floatUs ?? 0, sorted[0]?.quantizedUs ?? 0, 1e-9);
  const us = (x: number | undefined): string => (isNumber(x) ? together(`${fixed(x, x < 10 ? 1 : 0)} µs`) : '–');
  const rows = sorted.slice(0, MOST_NODES).map((n) => {
    const slower = (n.quantizedUs ?? 0) > (n.floatUs ?? Infinity);
    return html`<tr><th scope="row">${name(n.node, 80)}</th><td>${visible(n.op, 40)}</td><td class="wide">${bar(
      (n.floatUs ?? 0) / most,
      'float',
    )}${bar((n.quantizedUs ?? 0) / most, 'int')}</td><td class="num">${us(n.floatUs)}</td><td class="num">${us(
      n.quantizedUs,
    )}${slower && html`<span class="note bad">slower</span>`}</td></tr>`;
  });
  const rest = (kernels: readonly { us: number }[]): string => us(kernels.reduce((n, k) => n + k.us, 0));
  return html`<h3>Where the time goes</h3><p>Kernel times by onnxruntime's profiler over ${many(p.runs, 'run')}: ${us(
    p.floatUs,
  )} in the float model, ${us(
    p.quantizedUs,
  )} in the quantized. Conversions and reorders that belong to no node take ${rest(p.rest.float)} and ${rest(
    p.rest.quantized,
  )} of it. Longest first; the upper bar is float, the lower quantized.</p>${table(
    html`<th>node</th><th>op</th><th>time</th><th class="num">float</th><th class="num">quantized</th>`,
    rows,
    'time by node',
  )}${
    sorted.length > MOST_NODES &&
    html`<p class="dim">… and ${count(sorted.length - MOST_NODES)} nodes more in the table of layers.</p>`
  }`;
}
