/**
 * report.html: the run record as one file that needs nothing else. Its content security policy allows the one style and
 * the one script below by their hashes and no request at all, so that even a hole in the escaping could do nothing.
 */
import { createHash } from 'node:crypto';
import type { MetricFacts, RunRecord } from '../record/index.js';
import { intervalBar } from './html/charts.js';
import { html, Markup, name, type Part } from './html/markup.js';
import { script } from './html/script.js';
import { style } from './html/style.js';
import { latencyTable, layersTable, passesTable, resultsTable, table, tensorsTable } from './html/tables.js';
import { story } from './story.js';
import { intervalText, metricChange, metricTone, metricValue, speedText, speedTone, verdict, type Tone } from './summary.js';
import { big, bytes, count, fixed, json, many, ms, percent, visible, visibleLines } from './text.js';

export function renderHtml(record: RunRecord): string {
  const v = verdict(record);
  const title = visible(record.recipe.name, 120);
  const body = html`<main>
<h1>${title}</h1>
${about(record)}
<p class="verdict ${v.tone}">${together(v.text)}</p>
<div class="tiles">${tiles(record)}</div>
${paragraph('What happened', story(record))}
<section><h2>Results</h2>${resultsTable(record)}</section>
${record.latency && section('Latency', speedText(record.latency.speedup), latencyTable(record), true)}
${record.nodes.length > 0 && section('Layers', many(record.nodes.length, 'node'), layersTable(record), true)}
${record.points.length > 0 && section('Tensors', `${many(record.points.length, 'quantization point')}; heights are logarithmic, lines are the chosen range, shaded is clipped`, tensorsTable(record.points), record.points.length <= 40)}
${record.runtime && section('Runtime', `what onnxruntime made of the model: ${percent(record.runtime.integerMacsShare)} of MACs in integer kernels`, runtime(record.runtime), true)}
${record.passes.length > 0 && section('Clean-up', many(record.passes.filter((p) => p.changes).length, 'pass', 'passes') + ' changed the graph', passesTable(record), false)}
${section('Diagnostics', record.diagnostics.length ? many(record.diagnostics.length, 'finding') : 'none', diagnostics(record), record.diagnostics.some((d) => d.severity !== 'note'))}
${section('Recipe as resolved', 'run it again with this', html`<pre tabindex="0">${visibleLines(record.recipe.yaml)}</pre>`, false)}
${section('Provenance', 'hashes, versions, machine, data', provenance(record), false)}
</main>`;
  const policy = `default-src 'none'; style-src '${hashOf(style)}'; script-src '${hashOf(script)}'; base-uri 'none'; form-action 'none'`;
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer"><title>${title} – quantbench report</title><style>${new Markup(style)}</style></head>
<body>${body}<script>${new Markup(script)}</script></body></html>
`.text;
}

/** Keeps numbers and their units on one line. */
const together = (s: string): string => s.replace(/(?<=\d) (?=(?:%|×|ms|[KMGT]?B|points)(?![\w]))/g, '\u00a0');
const hashOf = (s: string): string => `sha256-${createHash('sha256').update(s).digest('base64')}`;

function about({ recipe, model, environment: e, startedAt, durationMs, quantbench }: RunRecord): Markup {
  return html`<p class="about">${name(model.float.name)} · recipe ${name(recipe.file ?? recipe.name)} · onnxruntime ${visible(e.onnxruntime)} on ${visible(e.cpu)} · ${visible(startedAt)} · ${fixed(durationMs / 1000, 1)} s · quantbench ${visible(quantbench)}</p>`;
}

const paragraph = (title: string, sentences: readonly string[]): Part => sentences.length > 0 && html`<section><h2>${title}</h2><p>${together(sentences.join(' '))}</p></section>`;
const section = (title: string, summary: string, body: Part, open: boolean): Markup => html`<details class="section"${open && html` open`}><summary><h2>${title}</h2><span class="dim">${summary}</span></summary>${body}</details>`;
const tile = (title: string, value: string, tone: Tone, ...below: readonly Part[]): Markup => html`<div class="tile ${tone}"><h2>${title}</h2><div class="value">${value}</div>${below}</div>`;

function tiles(record: RunRecord): Part[] {
  const { evaluation, latency, model, runtime } = record;
  const metric = evaluation?.metrics[0];
  const size = model.quantized && model.quantized.bytes / model.float.bytes;
  return [
    metric ? metricTile(metric) : agreementTile(record),
    latency && tile('Latency, median', speedText(latency.speedup), speedTone(record), html`<p>${ms(latency.floatMs.p50)} → ${ms(latency.quantizedMs.p50)}</p><p>${many(latency.threads, 'thread')}, batch ${count(latency.batch)}</p>`),
    model.quantized && size !== undefined && tile('Model size', size > 1 ? `${fixed(size, 2)} × larger` : `${fixed(1 / size, 1)} × smaller`, size > 1 ? 'worse' : 'better', html`<p>${bytes(model.float.bytes)} → ${bytes(model.quantized.bytes)}</p>`),
    runtime && tile('Multiply-accumulates in integers', percent(runtime.integerMacsShare), runtime.integerMacsShare < 0.5 ? 'worse' : 'same', html`<p>${runtime.unfused.length ? `${many(runtime.unfused.length, 'conversion')} left unfused` : 'nothing left unfused'}</p><p>${runtime.floatCompute.length ? `${many(runtime.floatCompute.length, 'compute op')} in float` : 'no compute op in float'}</p>`),
  ];
}

const metricTile = (m: MetricFacts): Markup => tile(`Change of ${visible(m.name, 40)}`, metricChange(m), metricTone(m), html`<p>${metricValue(m, m.float)} → ${metricValue(m, m.quantized)}</p>`, intervalBar(m), html`<p>${intervalText(m)}</p>`);

function agreementTile({ evaluation }: RunRecord): Part {
  if (!evaluation) return undefined;
  if (evaluation.agreement) return tile('Same answer as float', percent(evaluation.agreement.same), evaluation.agreement.same < 0.9 ? 'worse' : 'same', html`<p>on ${many(evaluation.samples, 'sample')}, without labels</p>`);
  if (!evaluation.outputs.length) return undefined;
  return tile('Closeness of outputs', `cosine ${fixed(Math.min(...evaluation.outputs.map((o) => o.cosine)), 4)}`, 'same', html`<p>smallest over ${many(evaluation.outputs.length, 'output')}, ${many(evaluation.samples, 'sample')}</p>`);
}

function runtime(r: NonNullable<RunRecord['runtime']>): Markup {
  const ops = Object.entries(r.ops).sort((a, b) => b[1] - a[1]);
  const list = (title: string, names: readonly string[]): Part => names.length > 0 && html`<p>${title}</p><p class="chips">${names.slice(0, 200).map((n) => html`<span>${name(n)}</span>`)}${names.length > 200 && html`and ${count(names.length - 200)} more`}</p>`;
  return html`<p class="chips">${ops.map(([op, n]) => html`<span>${name(op)} ${count(n)}</span>`)}</p>${list('Quantize and dequantize nodes left where a fused kernel was expected:', r.unfused)}${list('Multiply-accumulate in float:', r.floatCompute)}`;
}

function diagnostics({ diagnostics: all }: RunRecord): Markup {
  const order = { error: 0, warning: 1, note: 2 } as const;
  const sorted = [...all].sort((a, b) => order[a.severity] - order[b.severity]);
  const place = (where: Readonly<Record<string, unknown>> | undefined): Part => Object.entries(where ?? {}).map(([key, value]) => html` · ${key} ${name(String(value))}`);
  return sorted.length ? html`<ul class="plain">${sorted.map((d) => html`<li><span class="badge${d.severity !== 'note' && ' bad'}">${d.severity}</span> <code>${visible(d.code)}</code> ${visible(d.message, 2000)}<span class="dim">${place({ ...d.where })}${d.hint !== undefined && html` · ${visible(d.hint, 500)}`}</span></li>`)}</ul>` : html`<p>Nothing to report.</p>`;
}

function provenance({ model, environment: e, seeds, files, stages, calibration, evaluation }: RunRecord): Markup {
  const row = (title: Part, value: Part): Markup => html`<tr><th scope="row">${title}</th><td class="hash">${value}</td></tr>`;
  const facts = (m: RunRecord['model']['float']): Markup => html`${name(m.name)}, ${bytes(m.bytes)}, ${big(m.parameters)} parameters, ${count(m.nodes)} nodes, opset ${m.opset}, IR ${m.irVersion}<br><code>${visible(m.sha256)}</code>`;
  const rows = [
    row('float model', facts(model.float)),
    ...(model.quantized ? [row('quantized model', facts(model.quantized))] : []),
    row('machine', visible(`${e.cpu}, ${count(e.cores)} cores, ${bytes(e.memoryBytes)}, ${e.platform} ${e.arch}`, 500)),
    row('CPU features', visible(e.cpuFeatures.join(', '), 500)),
    row('versions', visible(`node ${e.node}, onnxruntime ${e.onnxruntime}`)),
    row('seeds', visible(Object.entries(seeds).map(([key, seed]) => `${key} ${seed}`).join(', '), 500)),
    row('time', visible(stages.map((s) => `${s.name} ${fixed(s.ms / 1000, 2)} s`).join(', '), 500)),
    ...files.map((f) => row(name(f.path), html`${bytes(f.bytes)}<br><code>${visible(f.sha256)}</code>`)),
  ];
  const data = (title: string, d: unknown): Part => d !== undefined && d !== null && html`<p>${title}</p><pre tabindex="0">${visibleLines(json(d))}</pre>`;
  return html`<div class="provenance">${table(html`<th></th><th></th>`, rows, 'provenance')}</div>${data('Calibration data', calibration?.data)}${data('Evaluation data', evaluation?.data)}`;
}
