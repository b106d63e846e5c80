import type { RunRecord } from '../record/index.js';
import { big, count, isNumber, many, percent, visible } from './text.js';

/** What happened, in at most five sentences: clean-up, calibration, what runs in integers, and what to look at. Plain text. */
export function story(record: RunRecord): string[] {
  return [cleanUp(record), calibrated(record), integers(record), clipping(record), notice(record)].filter((s) => s !== undefined);
}

function cleanUp({ passes, model }: RunRecord): string | undefined {
  const done = passes.filter((p) => p.changes > 0);
  const first = passes[0];
  const last = passes.at(-1);
  if (!first || !last) return undefined;
  const size = `The model has ${big(model.float.parameters)} parameters${isNumber(model.float.macs) ? ` and ${big(model.float.macs)} multiply-accumulates` : ''}.`;
  if (!done.length) return `${size} Clean-up found nothing to change.`;
  const main = [...done].sort((a, b) => b.changes - a.changes).slice(0, 3).map((p) => `${visible(p.pass, 60)} ${count(p.changes)} ×`);
  return `${size} Clean-up took the graph from ${count(first.nodesBefore)} to ${count(last.nodesAfter)} nodes (${main.join(', ')}).`;
}

function calibrated({ calibration: c }: RunRecord): string | undefined {
  if (!c) return undefined;
  const reused = c.cache === 'hit' ? ', reused from an earlier run on the same model and data' : '';
  const skipped = c.skippedSamples ? `; ${many(c.skippedSamples, 'sample')} left out` : '';
  const overlap = c.overlapWithEvaluation.length ? ` ${many(c.overlapWithEvaluation.length, 'sample')} of the evaluation ${c.overlapWithEvaluation.length === 1 ? 'was' : 'were'} also used for calibration, which flatters the result.` : '';
  return `The ranges of ${many(c.tensors, 'tensor')} come from ${many(c.samples, 'calibration sample')} (${visible(c.observer, 40)}${reused})${skipped}.${overlap}`;
}

function integers({ nodes, runtime }: RunRecord): string | undefined {
  const compute = nodes.filter((n) => n.macs > 0);
  if (!compute.length) return undefined;
  const float = compute.filter((n) => (n.ranInteger === undefined ? n.planned === 'float' : !n.ranInteger)).sort((a, b) => b.macs - a.macs);
  const source = runtime ? 'by the graph that onnxruntime runs' : 'as planned; the runtime was not asked';
  const share = runtime ? ` (${percent(runtime.integerMacsShare)} of the multiply-accumulates)` : '';
  const ran = `${count(compute.length - float.length)} of ${many(compute.length, 'node')} with multiply-accumulates run in integers${share}, ${source}.`;
  const named = float.slice(0, 2).map((n) => `${visible(n.name, 60)}${n.because ? ` (${visible(n.because, 120)})` : n.planned === 'integer' ? ' (planned in integers, but run in float)' : ''}`);
  return float.length ? `${ran} ${many(float.length, 'node')} stayed float: ${named.join('; ')}${float.length > 2 ? ` and ${count(float.length - 2)} more` : ''}.` : ran;
}

function clipping({ points }: RunRecord): string | undefined {
  const most = points.filter((p) => (p.clipped ?? 0) > 0.001).sort((a, b) => (b.clipped ?? 0) - (a.clipped ?? 0));
  const first = most[0];
  if (!first) return undefined;
  return `${many(most.length, 'tensor')} ${most.length === 1 ? 'has' : 'have'} more than 0.1 % of what calibration saw outside of the chosen range, most of all ${visible(first.name, 80)} (${percent(first.clipped, 2)}).`;
}

function notice({ runtime, diagnostics }: RunRecord): string | undefined {
  const unfused = runtime?.unfused.length ? `${many(runtime.unfused.length, 'conversion')} between float and integer stayed where a fused kernel was expected.` : '';
  const problems = diagnostics.filter((d) => d.severity !== 'note').length;
  const warned = problems ? `There ${problems === 1 ? 'is one problem' : `are ${count(problems)} problems`} to look at under Diagnostics.` : '';
  return [unfused, warned].filter(Boolean).join(' ') || undefined;
}
