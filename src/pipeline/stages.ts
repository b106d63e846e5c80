import type { OnEvent } from '../base/events.js';
import { formats } from '../formats/index.js';
import type { Recipe } from '../recipe/schema.js';
import type { Stage } from '../record/index.js';

/** Whether a method other than rounding, or a correction, chooses the codes of weights. */
export const isRefined = ({ quantize: { weights, layers } }: Recipe): boolean =>
  weights.method.name !== 'round' ||
  weights.correct.length > 0 ||
  layers.some((l) => l.weights?.method !== undefined && l.weights.method.name !== 'round');

/**
 * The stages of a run of this recipe, in their order: what runs, what is explained, and what a record of the run lists.
 * The gate, which judges the record, is none of them; a change in `adjust` is a stage of its own name.
 */
export function stagesOf(r: Recipe): string[] {
  const { quantize: q, calibration, evaluation: e } = r;
  const plan = formats.find((f) => f.name === q.format)?.plan;
  const observes = plan === 'static' || (plan === 'half' && calibration.data !== undefined);
  const data = (calibration.data ?? e.data) !== undefined; // layers are analysed with either
  return [
    'optimise',
    ...r.adjust.map((a) => a.name),
    ...(q.budget ? ['budget'] : []),
    'plan',
    ...(observes ? ['calibrate'] : []),
    ...(data && e.sensitivity !== false ? ['sensitivity'] : []),
    ...(isRefined(r) ? ['weights'] : []),
    'quantize',
    'evaluate',
    ...(data && e.layers !== false ? ['layers'] : []),
    'verify',
    ...(e.latency === false ? [] : ['latency']),
  ];
}

/** Times and announces the steps of a run. A step returns its result and one line about it. */
export function createStages(
  onEvent: OnEvent | undefined,
  signal: AbortSignal | undefined,
): {
  stage: <T>(name: string, run: () => Promise<readonly [T, string]> | readonly [T, string]) => Promise<T>;
  stages: () => Stage[];
} {
  const done: Stage[] = [];
  return {
    stages: () => [...done],
    async stage(name, run) {
      signal?.throwIfAborted();
      onEvent?.({ type: 'stage-start', stage: name });
      const start = performance.now();
      const [result, summary] = await run();
      const ms = Math.round((performance.now() - start) * 10) / 10;
      done.push({ name, ms, summary });
      onEvent?.({ type: 'stage-end', stage: name, ms, summary });
      return result;
    },
  };
}
