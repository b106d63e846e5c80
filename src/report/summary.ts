/** What a run says in a few lines: for the terminal and for the top of the reports. Worse results come first. */
import { sentBytes } from '../record/sent-bytes.js';
import { item } from '../base/lists.js';
import type { EvaluationFacts, GateFacts, MetricFacts, RunRecord } from '../record/index.js';
import { generationSentence } from './generation.js';
import { bytes, count, fixed, isNumber, many, ms, percent, signed, visible } from './text.js';

/** How a result reads: `unsure` where the 95 % interval holds both better and worse. */
export type Tone = 'worse' | 'unsure' | 'same' | 'better';
export interface SummaryRow {
  readonly metric: string;
  readonly float: string;
  readonly quantized: string;
  readonly change: string;
  /** Against what, how sure; may be empty. */
  readonly note: string;
  readonly tone: Tone;
}
export interface Statement {
  readonly tone: Tone;
  readonly text: string;
}

/** How a verdict is said: the word, a mark that survives without colour, and its tone. */
export const VERDICTS = {
  pass: { word: 'PASS', mark: '✓', tone: 'better' },
  fail: { word: 'FAIL', mark: '✗', tone: 'worse' },
  undecided: { word: 'UNDECIDED', mark: '?', tone: 'unsure' },
} as const satisfies Record<GateFacts['verdict'], { word: string; mark: string; tone: Tone }>;

/** Such as `1 of 3 rules fails: accuracyDrop`. */
export function gateSentence(gate: GateFacts): string {
  const of = (v: GateFacts['verdict']): string[] =>
    gate.rules.filter((r) => r.verdict === v).map((r) => visible(r.name, 60));
  const some = (names: readonly string[]): string =>
    names.slice(0, 5).join(', ') + (names.length > 5 ? ` and ${count(names.length - 5)} more` : '');
  const [failed, open] = [of('fail'), of('undecided')];
  const all = many(gate.rules.length, 'rule');
  if (!failed.length && !open.length)
    return gate.rules.length === 1
      ? `the rule ${visible(gate.rules[0]?.name ?? '', 60)} holds`
      : gate.rules.length === 2
        ? 'both rules hold'
        : `all ${all} hold`;
  const needed = Math.max(0, ...gate.rules.filter((r) => r.verdict === 'undecided').map((r) => r.samplesNeeded ?? 0));
  return [
    failed.length > 0 && `${count(failed.length)} of ${all} ${failed.length === 1 ? 'fails' : 'fail'}: ${some(failed)}`,
    open.length > 0 &&
      `${count(open.length)} of ${all} cannot be decided: ` +
        `${some(open)}${needed ? ` (about ${many(needed, 'sample')} would do)` : ''}`,
  ]
    .filter(Boolean)
    .join('; ');
}

/** Such as `worst channels 4–84: SQNR 3.1 dB`, of an output that mixes scales. */
function partsText({ parts }: EvaluationFacts['outputs'][number]): string {
  const worst = parts?.[0];
  if (!worst || !isNumber(worst.sqnrDb)) return '';
  return `worst: channels ${worst.from}–${worst.to}, SQNR ${fixed(worst.sqnrDb, 1)} dB`;
}

/** Keys and values that a model gives for its next run are told as one: the worst of them. */
function shownOutputs(outputs: EvaluationFacts['outputs']): EvaluationFacts['outputs'] {
  const cache = outputs.filter((o) => /^present/.test(o.name));
  if (cache.length < 3) return outputs;
  const worst = cache.reduce((w, o) => (o.cosine < w.cosine ? o : w));
  const rest = outputs.filter((o) => !cache.includes(o));
  return [...rest, { ...worst, name: `${worst.name}, the worst of ${cache.length} of the cache` }];
}

/** Rows of the table metric | float | quantized | change | note, in reading order. */
export function summaryTable(record: RunRecord): SummaryRow[] {
  const { evaluation, latency, model, runtime } = record;
  const rows: SummaryRow[] = (evaluation?.metrics ?? []).map((m) => ({
    metric: visible(m.name, 40),
    float: metricValue(m, m.float),
    quantized: metricValue(m, m.quantized),
    change: metricChange(m),
    note: intervalText(m),
    tone: metricTone(m),
  }));
  const agreement = evaluation?.agreement;
  if (agreement) {
    const flips =
      agreement.rightToWrong === undefined
        ? ''
        : `${count(agreement.rightToWrong)} right → wrong, ${count(agreement.wrongToRight ?? 0)} wrong → ` +
          `right${isNumber(agreement.mcnemarP) ? `, McNemar p = ${pValue(agreement.mcnemarP)}` : ''}`;
    rows.push({
      metric: 'same answer',
      float: '–',
      quantized: percent(agreement.same),
      change: '',
      note: flips,
      tone: agreement.same < 0.9 ? 'worse' : 'same',
    });
  }
  for (const o of shownOutputs(evaluation?.outputs ?? [])) {
    const sqnr = isNumber(o.sqnrDb) ? `SQNR ${fixed(o.sqnrDb, 1)} dB` : o.mse === 0 ? 'identical' : '';
    rows.push({
      metric: `output ${visible(o.name, 60)}`,
      float: '–',
      quantized: `cosine ${fixed(o.cosine, 4)}`,
      change: sqnr,
      note: o.nonFinite?.quantized ? `${count(o.nonFinite.quantized)} NaN or infinite values` : partsText(o),
      tone: (o.nonFinite?.quantized ?? 0) > (o.nonFinite?.float ?? 0) ? 'worse' : 'same',
    });
  }
  if (latency) {
    rows.push({
      metric: 'latency p50',
      float: ms(latency.floatMs.p50),
      quantized: ms(latency.quantizedMs.p50),
      change: speedText(latency.speedup),
      note:
        `${many(latency.threads, 'thread')}, batch ${count(latency.batch)}, ${count(latency.runs)} interleaved ` +
        'runs',
      tone: speedTone(record),
    });
    rows.push({
      metric: 'latency p99',
      float: ms(latency.floatMs.p99),
      quantized: ms(latency.quantizedMs.p99),
      change: '',
      note: '',
      tone: 'same',
    });
  }
  if (record.generation) {
    const { float, quantized } = record.generation.speed;
    for (const key of ['prefill', 'decode'] as const) {
      const [f, q] = [float[key], quantized[key]];
      if (f === undefined || q === undefined) continue;
      rows.push({
        metric: key,
        float: `${fixed(f, 0)} tokens/s`,
        quantized: `${fixed(q, 0)} tokens/s`,
        change: speedText(q / f),
        note: key === 'decode' ? generationSentence(record.generation) : '',
        tone: 'same',
      });
    }
  }
  const after = model.quantized;
  if (after) {
    const ratio = after.bytes / model.float.bytes;
    rows.push({
      metric: 'file',
      float: bytes(model.float.bytes),
      quantized: bytes(after.bytes),
      change: `${fixed(ratio, 2)} ×`,
      note: ratio > 1 ? 'larger' : '',
      tone: ratio > 1 ? 'worse' : 'better',
    });
  }
  const { transport } = record;
  if (transport) {
    const [before, sent] = [
      sentBytes(transport.float, transport.codec),
      sentBytes(transport.quantized, transport.codec),
    ];
    const plain = sentBytes(transport.plain, transport.codec);
    rows.push({
      metric: `sent as ${visible(transport.codec, 20)}`,
      float: bytes(before),
      quantized: bytes(sent),
      change: before && sent ? `${fixed(sent / before, 2)} ×` : '',
      note: plain && sent ? `${percent(1 - sent / plain, 1)} less than as rounded` : '',
      tone: before && sent && sent > before ? 'worse' : 'better',
    });
  }
  if (runtime)
    rows.push({
      metric: 'integer MACs',
      float: '–',
      quantized: percent(runtime.integerMacsShare),
      change: '',
      note: runtime.unfused.length ? `${count(runtime.unfused.length)} Q/DQ left unfused` : '',
      tone: runtime.unfused.length ? 'worse' : 'same',
    });
  return rows;
}

/** The results in words, worse ones first: a reader who stops after the first has not been misled. */
export function statements(record: RunRecord): Statement[] {
  const found: Statement[] = [];
  const { evaluation, latency, model, runtime } = record;
  for (const o of evaluation?.outputs ?? []) {
    const extra = (o.nonFinite?.quantized ?? 0) - (o.nonFinite?.float ?? 0);
    if (extra > 0)
      found.push({
        tone: 'worse',
        text: `output ${visible(o.name, 60)} has ${count(extra)} more NaN or infinite values than in the float model`,
      });
  }
  for (const m of (evaluation?.metrics ?? []).slice(0, 2)) found.push({ tone: metricTone(m), text: metricSentence(m) });
  const agreement = evaluation?.agreement;
  if (agreement && !evaluation.metrics.length)
    found.push({
      tone: agreement.same < 0.9 ? 'worse' : 'same',
      text: `both models give the same answer on ${percent(agreement.same)} of ${count(evaluation.samples)} samples`,
    });
  if (evaluation && !agreement && !evaluation.metrics.length && evaluation.outputs.length)
    found.push({
      tone: 'same',
      text:
        `the outputs' smallest cosine to the float model is ` +
        `${fixed(Math.min(...evaluation.outputs.map((o) => o.cosine)), 4)} over ${count(evaluation.samples)} ` +
        'samples',
    });
  if (latency)
    found.push({
      tone: speedTone(record),
      text:
        `${speedTone(record) === 'unsure' ? 'no certain change of latency: ' : ''}${speedText(latency.speedup)} ` +
        `(median ${ms(latency.floatMs.p50)} → ${ms(latency.quantizedMs.p50)})`,
    });
  const after = model.quantized;
  if (after) {
    const ratio = after.bytes / model.float.bytes;
    found.push({
      tone: ratio > 1 ? 'worse' : 'better',
      text:
        `${ratio > 1 ? `${fixed(ratio, 2)} × larger` : `${fixed(1 / ratio, 1)} × smaller`} ` +
        `(${bytes(model.float.bytes)} → ${bytes(after.bytes)})`,
    });
  }
  if (runtime && runtime.integerMacsShare < 0.5)
    found.push({
      tone: 'worse',
      text: `only ${percent(runtime.integerMacsShare)} of the multiply-accumulates run in integer kernels`,
    });
  const order: readonly Tone[] = ['worse', 'unsure', 'same', 'better'];
  return found.sort((a, b) => order.indexOf(a.tone) - order.indexOf(b.tone));
}

/** One line that says how the run went, in words; the gate's verdict first where there is one. */
export function verdict(record: RunRecord): Statement {
  const { gate } = record;
  const outcome = measured(record);
  return gate && record.outcome === 'ok'
    ? {
        tone: VERDICTS[gate.verdict].tone,
        text: `${VERDICTS[gate.verdict].word}: ${gateSentence(gate)}. ${outcome.text}`,
      }
    : outcome;
}

/** How the run went by its measurements alone. */
export function measured(record: RunRecord): Statement {
  if (record.outcome === 'failed') {
    const cause = record.diagnostics.find((d) => d.severity === 'error');
    return { tone: 'worse', text: `The run failed${cause ? `: ${visible(cause.message, 400)}` : '.'}` };
  }
  const all = statements(record);
  if (!all.length) return { tone: 'unsure', text: 'The model was quantized, but nothing was measured.' };
  const worst = item(all, 0).tone; // not empty
  const text = all
    .slice(0, 4)
    .map((s) => s.text)
    .join('; ');
  return { tone: worst === 'same' ? 'better' : worst, text: `${text.charAt(0).toUpperCase()}${text.slice(1)}.` };
}

/** `97.35 %` for shares, four digits after the point for the rest. */
export const metricValue = (m: MetricFacts, value: number | undefined): string =>
  !isNumber(value) ? '–' : m.unit === '%' ? `${fixed(value, 2)} %` : fixed(value, 4);
export const metricChange = (m: MetricFacts): string =>
  !isNumber(m.change) ? '–' : m.unit === '%' ? `${signed(m.change, 2)} points` : signed(m.change, 4);
export function intervalText(m: MetricFacts): string {
  if (!m.interval) return '';
  const digits = m.unit === '%' ? 2 : 4;
  return `95 % CI ${signed(m.interval[0], digits)} … ${signed(m.interval[1], digits)}`;
}
export const pValue = (p: number): string =>
  p < 0.001 ? `${p.toExponential(1).replace('e-', 'e−')}` : p > 0.999 ? '1' : fixed(p, p < 0.1 ? 3 : 2);
/** Words for a ratio float ÷ quantized. */
export function speedText(speedup: number): string {
  if (!isNumber(speedup) || speedup <= 0) return '–';
  if (Math.abs(speedup - 1) < 0.005) return 'as fast';
  return speedup > 1 ? `${fixed(speedup, 2)} × faster` : `${fixed(1 / speedup, 2)} × slower`;
}

export function speedTone({ latency }: RunRecord): Tone {
  if (!latency) return 'same';
  const [low, high] = latency.speedupInterval ?? [latency.speedup, latency.speedup];
  return low > 1 ? 'better' : high < 1 ? 'worse' : 'unsure';
}

export function metricTone(m: MetricFacts): Tone {
  if (!isNumber(m.change)) return 'unsure';
  const sign = m.higherIsBetter ? 1 : -1;
  const [low, high] = m.interval ?? [m.change, m.change];
  if (low === 0 && high === 0) return 'same';
  const better = Math.min(low * sign, high * sign);
  const worse = Math.max(low * sign, high * sign);
  return better > 0 ? 'better' : worse < 0 ? 'worse' : 'unsure';
}

function metricSentence(m: MetricFacts): string {
  const span = `${metricValue(m, m.float)} → ${metricValue(m, m.quantized)}`;
  const interval = intervalText(m);
  switch (metricTone(m)) {
    case 'worse':
      return (
        `${visible(m.name, 40)} is worse by ${metricChange(m).replace(/^[−+]/, '')} ` +
        `(${span}${interval && `, ${interval}`})`
      );
    case 'better':
      return (
        `${visible(m.name, 40)} is better by ${metricChange(m).replace(/^[−+]/, '')} ` +
        `(${span}${interval && `, ${interval}`})`
      );
    case 'same':
      return `${visible(m.name, 40)} did not change (${span})`;
    case 'unsure':
      return `no certain change of ${visible(m.name, 40)}: ${metricChange(m)} (${span}${interval && `, ${interval}`})`;
  }
}
