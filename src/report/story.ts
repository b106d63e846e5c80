import type { RunRecord } from '../record/index.js';
import { scoreSentence } from './training.js';
import { keptLarge } from './size.js';
import { big, bytes, count, fixed, isNumber, many, percent, visible } from './text.js';

/**
 * What happened, in a few sentences: clean-up, calibration, what runs in integers, which layers cost most, and what to
 * look at. Plain text.
 */
export function story(record: RunRecord): string[] {
  return [
    record.training && scoreSentence(record.training),
    cleanUp(record),
    calibrated(record),
    integers(record),
    corrected(record),
    clipping(record),
    ...keptLarge(record),
    weakest(record),
    notice(record),
  ].filter((s) => s !== undefined);
}

function cleanUp({ passes, model }: RunRecord): string | undefined {
  const done = passes.filter((p) => p.changes > 0);
  const first = passes[0];
  const last = passes.at(-1);
  if (!first || !last) return undefined;
  const size =
    `The model has ${big(model.float.parameters)} ` +
    `parameters${isNumber(model.float.macs) ? ` and ${big(model.float.macs)} multiply-accumulates` : ''}.`;
  if (!done.length) return `${size} Clean-up found nothing to change.`;
  const main = [...done]
    .sort((a, b) => b.changes - a.changes)
    .slice(0, 3)
    .map((p) => `${visible(p.pass, 60)} ${count(p.changes)} ×`);
  return (
    `${size} Clean-up took the graph from ${count(first.nodesBefore)} to ${count(last.nodesAfter)} nodes ` +
    `(${main.join(', ')}).`
  );
}

function corrected({ lowRank: l }: RunRecord): string | undefined {
  if (!l) return undefined;
  return (
    `What the codes of ${many(l.products, 'product')} lose is made up for by terms of rank ${count(l.rank)} ` +
    `in float32: ${bytes(l.bytes)} of the file, ${fixed(l.bits, 2)} bits a weight beside its code.`
  );
}

function calibrated({ calibration: c }: RunRecord): string | undefined {
  if (!c) return undefined;
  const reused = c.cache === 'hit' ? ', reused from an earlier run on the same model and data' : '';
  const skipped = c.skippedSamples ? `; ${many(c.skippedSamples, 'sample')} left out` : '';
  const overlap = c.overlapWithEvaluation.length
    ? ` ${many(c.overlapWithEvaluation.length, 'sample')} of the evaluation ` +
      `${c.overlapWithEvaluation.length === 1 ? 'was' : 'were'} also used for calibration, which flatters the ` +
      'result.'
    : '';
  return (
    `The ranges of ${many(c.tensors, 'tensor')} come from ${many(c.samples, 'calibration sample')} ` +
    `(${visible(c.observer, 40)}${reused})${skipped}.${overlap}`
  );
}

function integers({ nodes, runtime }: RunRecord): string | undefined {
  const compute = nodes.filter((n) => n.macs > 0);
  if (!compute.length) return undefined;
  const float = compute
    .filter((n) => (n.ranInteger === undefined ? n.planned === 'float' : !n.ranInteger))
    .sort((a, b) => b.macs - a.macs);
  const source = runtime ? 'by the graph that onnxruntime runs' : 'as planned; the runtime was not asked';
  const share = runtime ? ` (${percent(runtime.integerMacsShare)} of the multiply-accumulates)` : '';
  const ran =
    `${count(compute.length - float.length)} of ${many(compute.length, 'node')} with multiply-accumulates run in ` +
    `integers${share}, ${source}.`;
  const named = float
    .slice(0, 2)
    .map(
      (n) =>
        `${visible(n.name, 60)}${
          n.because
            ? ` (${visible(n.because, 120)})`
            : n.planned === 'integer'
              ? ' (planned in integers, but run in float)'
              : ''
        }`,
    );
  return float.length
    ? `${ran} ${many(float.length, 'node')} stayed float: ` +
        `${named.join('; ')}${float.length > 2 ? ` and ${count(float.length - 2)} more` : ''}.`
    : ran;
}

function clipping({ points }: RunRecord): string | undefined {
  const most = points.filter((p) => (p.clipped ?? 0) > 0.001).sort((a, b) => (b.clipped ?? 0) - (a.clipped ?? 0));
  const first = most[0];
  if (!first) return undefined;
  return (
    `${many(most.length, 'tensor')} ${most.length === 1 ? 'has' : 'have'} more than 0.1 % of what calibration ` +
    `saw outside of the chosen range, most of all ${visible(first.name, 80)} (${percent(first.clipped, 2)}).`
  );
}

function weakest({ sensitivity, layers }: RunRecord): string | undefined {
  const first = sensitivity?.layers[0];
  const worst = layers?.tensors
    .filter((t) => isNumber(t.sqnrDb))
    .reduce<(typeof layers.tensors)[number] | undefined>(
      (a, b) => (a === undefined || (b.sqnrDb ?? 0) < (a.sqnrDb ?? 0) ? b : a),
      undefined,
    );
  const dead = layers?.tensors.filter((t) => (t.deadChannels ?? 0) > 0).length ?? 0;
  return (
    [
      first && first.score > 0
        ? `The most sensitive layer is ${visible(first.node, 80)} (${percent(first.share)} of the sum over all layers).`
        : '',
      worst
        ? `The largest error is in the output of ${visible(worst.node, 80)} (SQNR ${fixed(worst.sqnrDb, 1)} dB).`
        : '',
      dead ? `${many(dead, 'tensor')} ${dead === 1 ? 'has' : 'have'} channels that died.` : '',
    ]
      .filter(Boolean)
      .join(' ') || undefined
  );
}

function notice({ runtime, diagnostics }: RunRecord): string | undefined {
  const unfused = runtime?.unfused.length
    ? `${many(runtime.unfused.length, 'conversion')} between float and integer stayed where a fused kernel was ` +
      'expected.'
    : '';
  const problems = diagnostics.filter((d) => d.severity !== 'note').length;
  const warned = problems
    ? `There ${problems === 1 ? 'is one problem' : `are ${count(problems)} problems`} to look at under Diagnostics.`
    : '';
  return [unfused, warned].filter(Boolean).join(' ') || undefined;
}
