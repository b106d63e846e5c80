/** Whether a model gained anything by being quantized, and what to try where it did not. */
import type { Diagnostic } from '../base/errors.js';
import type { Recipe } from '../recipe/schema.js';
import type { RunRecord } from '../record/index.js';

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
