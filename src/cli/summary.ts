/** What a run achieved, as the last lines on the terminal. Every compared number says against what and how sure it is. */
import { bytesText, secondsText } from '../base/text.js';
import type { EvaluationFacts, LatencyFacts, MetricFacts, RunRecord } from '../pipeline/record.js';
import { paint, table } from './terminal.js';

export function summaryLines(record: RunRecord, terminal: { readonly colour: boolean }): string[] {
  const p = paint(terminal);
  const { evaluation, latency, runtime, model } = record;
  const rows = [
    ...(evaluation?.metrics ?? []).map((m) => metricRow(m, evaluation?.agreement?.mcnemarP)),
    ...(evaluation ? agreementRows(evaluation) : []),
    ...(latency ? latencyRows(latency) : []),
    ...(model.quantized ? [['file', bytesText(model.float.bytes), bytesText(model.quantized.bytes), `${(model.quantized.bytes / model.float.bytes).toFixed(2)} ×`]] : []),
  ];
  const [head, ...body] = table([['', 'float', 'quantized', 'change'], ...rows], [1, 2]).map((l) => `  ${l}`);
  const floats = record.nodes.filter((n) => n.planned === 'float' && n.macs > 0);
  const warnings = record.diagnostics.filter((d) => d.severity !== 'note').length;
  return [
    '', p.bold(head ?? ''), ...body, '',
    ...(runtime ? [`  ${(100 * runtime.integerMacsShare).toFixed(1)} % of multiply-accumulates run in integers${runtime.unfused.length ? p.yellow(` · ${runtime.unfused.length} quantize or dequantize nodes were not fused`) : ''}`] : []),
    ...(floats.length ? [table([['stayed float', `${floats.length} of the nodes with multiply-accumulates, such as ${floats[0]!.name} (${floats[0]!.because ?? 'not planned'})`]]).map((l) => `  ${l}`)[0]!] : []), // one row gives one line
    ...(evaluation ? [] : [p.yellow('  accuracy was not measured: there were no evaluation data')]),
    `  ${warnings ? `${warnings} warning${warnings === 1 ? '' : 's'} · ` : ''}total ${secondsText(record.durationMs)}`, '',
  ];
}

function metricRow(m: MetricFacts, mcnemarP: number | undefined): string[] {
  const unit = m.unit === '%' ? ' %' : '';
  const digits = m.unit === '%' ? 2 : 4;
  const points = m.unit === '%' ? ' points' : '';
  const value = (v: number | undefined): string => (v === undefined ? '–' : `${v.toFixed(digits)}${unit}`);
  const sure = m.interval ? `   95 % CI ${signed(m.interval[0], digits)} … ${signed(m.interval[1], digits)}` : '';
  const test = m.name === 'top1' && mcnemarP !== undefined ? `, McNemar p = ${mcnemarP < 0.001 ? mcnemarP.toExponential(1) : mcnemarP.toFixed(2)}` : '';
  return [m.name, value(m.float), value(m.quantized), m.change === undefined ? '–' : `${signed(m.change, digits)}${points}${sure}${test}`];
}

function agreementRows(e: EvaluationFacts): string[][] {
  const a = e.agreement;
  const flips = a?.rightToWrong !== undefined && a.wrongToRight !== undefined ? `${a.rightToWrong} right → wrong, ${a.wrongToRight} wrong → right` : '';
  const worst = e.outputs.length ? e.outputs.reduce((x, y) => (y.cosine < x.cosine ? y : x)) : undefined;
  return [
    ...(a && e.samples ? [['same answer', '', `${((100 * a.same) / e.samples).toFixed(2)} %`, `of ${e.samples} samples${flips ? `; ${flips}` : ''}`]] : []),
    ...(worst ? [['output', '', `cosine ${worst.cosine.toFixed(4)}`, `${worst.sqnrDb !== undefined && Number.isFinite(worst.sqnrDb) ? `SQNR ${worst.sqnrDb.toFixed(1)} dB, ` : ''}largest error ${worst.maxAbsError.toPrecision(3)}${e.outputs.length > 1 ? ` (${worst.name}, the worst of ${e.outputs.length})` : ''}`]] : []),
  ];
}

function latencyRows(l: LatencyFacts): string[][] {
  const ms = (v: number): string => `${v.toFixed(v < 10 ? 3 : 1)} ms`;
  const word = l.speedup > 1.02 ? `${l.speedup.toFixed(2)} × faster` : l.speedup < 0.98 ? `${(1 / l.speedup).toFixed(2)} × SLOWER` : 'about the same';
  return [['latency p50', ms(l.floatMs.p50), ms(l.quantizedMs.p50), `${word}   (${l.threads} thread${l.threads === 1 ? '' : 's'}, batch ${l.batch}, ${l.runs} interleaved runs)`]];
}

const signed = (v: number, digits: number): string => `${v < 0 ? '−' : '+'}${Math.abs(v).toFixed(digits)}`;
