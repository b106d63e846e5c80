/** Whether a model gained anything by being quantized, and still says what float says; and what to try where not. */
import type { Diagnostic } from '../base/errors.js';
import { worstCosine } from '../evaluate/output-error.js';
import type { Recipe } from '../recipe/schema.js';
import type { RunRecord } from '../record/index.js';

/** Agreement, or the cosine of the worst output, below which a model is far from float. */
export const FAR = 0.8;
/** A file that is less than this smaller is not smaller. */
const SMALLER = 0.98;

/**
 * A warning for a model that is neither smaller nor faster than float: then nothing pays for what it lost in accuracy.
 */
export function withoutGain(
  { model, latency, evaluation }: Pick<RunRecord, 'model' | 'latency' | 'evaluation'>,
  { format }: Pick<Recipe['quantize'], 'format'>,
): Diagnostic | undefined {
  const after = model.quantized?.bytes;
  if (after === undefined || format === 'float') return undefined;
  const size = after / model.float.bytes;
  const faster = latency && (latency.speedupInterval?.[0] ?? latency.speedup) > 1;
  if (size < SMALLER || faster) return undefined;
  const speed = latency ? `takes ${(1 / latency.speedup).toFixed(2)} × the time` : 'was not timed';
  const [metric] = evaluation?.metrics ?? [];
  const change = metric?.change ?? 0;
  const worse = metric && (metric.higherIsBetter ? change < 0 : change > 0);
  const accuracy =
    metric && worse
      ? `, and ${metric.name} got worse by ` +
        `${Number(Math.abs(change).toPrecision(3))}${metric.unit === '%' ? ' points' : ''}`
      : '';
  const message = `nothing was gained: the model is ${size.toFixed(2)} × the size of the float model, ${speed}${
    accuracy
  }`;
  const others = ['coded', 'dynamic', 'weight-only'].filter((f) => f !== format).map((f) => `quantize.format: ${f}`);
  return {
    severity: 'warning',
    code: 'NO_GAIN',
    message,
    hint: `ship the float model, or try ${others.slice(0, 2).join(' or ')}; \`quantize auto\` tries them all`,
  };
}

/** The share of samples on which both agree, or the cosine of the worst output. 1 where nothing was evaluated. */
export function closeness({ evaluation }: Pick<RunRecord, 'evaluation'>): number {
  if (!evaluation) return 1;
  return evaluation.agreement?.same ?? Math.min(1, ...evaluation.outputs.map(worstCosine));
}

/** A warning for a model whose outputs are far from those of float. */
export function farFromFloat(record: Pick<RunRecord, 'evaluation'>, format: string): Diagnostic | undefined {
  const worst = [...(record.evaluation?.outputs ?? [])].sort((a, b) => worstCosine(a) - worstCosine(b))[0];
  const same = record.evaluation?.agreement?.same;
  if (!worst || closeness(record) >= FAR) return undefined;
  const seen =
    same === undefined
      ? `output '${worst.name}' has a cosine of ${worstCosine(worst).toFixed(3)} to that of float`
      : `it agrees with float on ${(100 * same).toFixed(1)} % of the samples`;
  return {
    severity: 'warning',
    code: 'FAR_FROM_FLOAT',
    message: `the model is far from float: ${seen}`,
    hint:
      `${format === 'dynamic' ? 'leave out the layers that err most (layers, exclude)' : 'try quantize.format: dynamic'}` +
      ', or let `quantize auto` find what keeps the accuracy',
  };
}
