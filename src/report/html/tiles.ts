/** The first screen: what a reader who sees nothing else should know. */
import type { MetricFacts, RunRecord } from '../../record/index.js';
import { intervalText, metricChange, metricTone, metricValue, speedText, speedTone, type Tone } from '../summary.js';
import { bytes, count, fixed, isNumber, many, ms, percent, signed, visible } from '../text.js';
import { marginBar } from './charts.js';
import { html, type Markup, type Part } from './markup.js';
import { tile, together } from './page.js';

export function tiles(record: RunRecord): Part[] {
  const metric = record.evaluation?.metrics[0];
  return [
    metric ? metricTile(metric, record) : agreementTile(record),
    latencyTile(record),
    sizeTile(record),
    memoryTile(record) ?? integerTile(record),
  ];
}

function metricTile(m: MetricFacts, record: RunRecord): Markup {
  const digits = m.unit === '%' ? 2 : 4;
  const shown = (v: number): string => signed(v, digits);
  const limit = allowedChange(m, record);
  return tile(
    `Change of ${visible(m.name, 40)}`,
    metricChange(m),
    metricTone(m),
    html`<p>${metricValue(m, m.float)} → ${metricValue(m, m.quantized)}</p>`,
    m.interval && m.change !== undefined && marginBar({ value: m.change, interval: m.interval, limit, shown }),
    html`<p>${intervalText(m)}${m.samples !== undefined && ` on ${many(m.samples, 'sample')}`}</p>`,
  );
}

/**
 * The lowest allowed change (the highest where lower values are better): the limit of the search, else of the gate's
 * rule for the drop of this metric from float.
 */
function allowedChange(m: MetricFacts, { gate, search }: RunRecord): number | undefined {
  if (search?.metric === m.name) return m.higherIsBetter ? -search.limit : search.limit;
  const rule =
    gate?.against === 'float'
      ? gate.rules.find((r) => r.name === 'accuracyDrop' && r.text.includes(m.name))
      : undefined;
  return rule?.limit === undefined ? undefined : m.higherIsBetter ? -rule.limit : rule.limit;
}

function agreementTile({ evaluation }: RunRecord): Part {
  if (!evaluation) return undefined;
  if (evaluation.agreement)
    return tile(
      'Same answer as float',
      percent(evaluation.agreement.same),
      evaluation.agreement.same < 0.9 ? 'worse' : 'same',
      html`<p>on ${many(evaluation.samples, 'sample')}, without labels</p>`,
    );
  if (!evaluation.outputs.length) return undefined;
  return tile(
    'Closeness of outputs',
    `cosine ${fixed(Math.min(...evaluation.outputs.map((o) => o.cosine)), 4)}`,
    'same',
    html`<p>smallest over ${many(evaluation.outputs.length, 'output')}, ${many(evaluation.samples, 'sample')}</p>`,
  );
}

function latencyTile(record: RunRecord): Part {
  const l = record.latency;
  return (
    l &&
    tile(
      'Latency, median',
      speedText(l.speedup),
      speedTone(record),
      html`<p>${ms(l.floatMs.p50)} → ${ms(l.quantizedMs.p50)}</p>`,
      l.speedupInterval && html`<p>95 % CI ${fixed(l.speedupInterval[0], 2)} … ${fixed(l.speedupInterval[1], 2)} ×</p>`,
      html`<p>${many(l.threads, 'thread')}, batch ${count(l.batch)}</p>`,
    )
  );
}

function sizeTile({ model }: RunRecord): Part {
  if (!model.quantized) return undefined;
  return ratioTile(
    'Model size',
    model.float.bytes,
    model.quantized.bytes,
    ['smaller', 'larger'],
    html`<p>${count(model.float.nodes)} → ${count(model.quantized.nodes)} nodes</p>`,
  );
}

function memoryTile({ latency }: RunRecord): Part {
  const p = latency?.process;
  return (
    p &&
    ratioTile(
      'Peak memory',
      p.float.peakBytes,
      p.quantized.peakBytes,
      ['less', 'more'],
      html`<p>resident, added by loading and running</p>`,
      0.05,
    )
  ); // what a process takes varies by some per cent
}

function ratioTile(
  title: string,
  float: number,
  quantized: number,
  words: readonly [string, string],
  note: Part,
  noise = 0.005,
): Markup {
  const ratio = quantized / float;
  const tone: Tone = !isNumber(ratio)
    ? 'unsure'
    : Math.abs(ratio - 1) < noise
      ? 'same'
      : ratio > 1
        ? 'worse'
        : 'better';
  return tile(
    title,
    tone === 'unsure'
      ? '–'
      : tone === 'same'
        ? noise > 0.01
          ? 'about the same'
          : 'the same'
        : ratio > 1
          ? `${fixed(ratio, 2)} × ${words[1]}`
          : `${fixed(1 / ratio, 1)} × ${words[0]}`,
    tone,
    html`<p>${together(bytes(float))} → ${together(bytes(quantized))}</p>`,
    note,
  );
}

function integerTile({ runtime }: RunRecord): Part {
  return (
    runtime &&
    tile(
      'Multiply-accumulates in integers',
      percent(runtime.integerMacsShare),
      runtime.integerMacsShare < 0.5 ? 'worse' : 'same',
      html`<p>${
        runtime.unfused.length ? `${many(runtime.unfused.length, 'conversion')} left unfused` : 'nothing left unfused'
      }</p>`,
      html`<p>${
        runtime.floatCompute.length
          ? `${many(runtime.floatCompute.length, 'compute op')} in float`
          : 'no compute op in float'
      }</p>`,
    )
  );
}
