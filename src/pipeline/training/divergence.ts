/** Whether a training made its own loss worse. */
import type { Diagnostic } from '../../base/errors.js';
import type { FittedFacts } from '../../record/index.js';

/** Share of the curve at its end that is looked at, and how many points the curve must have at least. */
const END = 0.1;
const LEAST_POINTS = 10;
/** How much larger the loss may be at the end than it was at first. */
const LARGER = 1.5;

/** Reports a training whose loss is larger at its end than it was at first, before high rates took hold. */
export function tellDivergence(
  { name, curve }: Pick<FittedFacts, 'name' | 'curve'>,
  rate: number,
  report: (d: Diagnostic) => void,
): void {
  const end = curve.slice(-Math.ceil(END * curve.length));
  const last = end.reduce((sum, p) => sum + p.loss, 0) / end.length;
  const first = curve[0]?.loss ?? NaN;
  if (curve.length < LEAST_POINTS || !(last > LARGER * first && last > 0)) return;
  report({
    severity: 'warning',
    code: 'TRAIN_DIVERGED',
    message: `training diverged: the loss of the ${name} model rose from ${rounded(first)} to ${rounded(last)}`,
    hint: `lower train.rate (${rate}), lengthen train.warmUp, or bound gradients by train.clipNorm`,
  });
}
const rounded = (loss: number): string => loss.toPrecision(3);
