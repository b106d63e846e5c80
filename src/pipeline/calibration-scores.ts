/** What models score on calibration samples: choices of a run look at those, so that evaluation samples judge them. */
import type { CompressContext } from '../compress/types.js';
import type { Batch } from '../data/batch.js';
import { evaluateModels } from '../evaluate/compare.js';
import type { ChosenMetric } from '../evaluate/types.js';
import { openModel } from '../runtime/open.js';

export interface CalibrationScores {
  readonly batches: () => AsyncIterable<Batch>;
  /** Default: what the first sample asks for. */
  readonly metrics?: readonly ChosenMetric[] | undefined;
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
}

/** The first metric that has a value for all models; whole batches, until so many samples are seen. */
export const calibrationScores =
  ({ batches, metrics, threads, signal }: CalibrationScores): NonNullable<CompressContext['score']> =>
  async (models, samples) => {
    async function* some(): AsyncGenerator<Batch> {
      let seen = 0;
      for await (const batch of batches()) {
        yield batch;
        seen += batch.samples.length;
        if (seen >= samples) return;
      }
    }
    const values: number[] = [];
    let chosen: ChosenMetric['metric'] | undefined;
    for (const made of models) {
      const float = await openModel(made(), { threads, spinning: false, label: 'a smaller model' });
      try {
        // Metrics without labels are left out; the evaluation tells of them.
        const onDiagnostic = (): void => undefined;
        const { float: scored } = await evaluateModels({
          ...{ float, metrics, signal, candidates: [], onDiagnostic, batches: some },
        });
        const found = scored.find((s) => s.value() !== undefined && (!chosen || s.metric === chosen));
        const value = found?.value();
        if (!found || value === undefined) return undefined;
        chosen = found.metric;
        values.push(value);
      } finally {
        await float.close();
      }
    }
    if (!chosen) return undefined;
    const { name, unit, higherIsBetter } = chosen;
    return { metric: { name, unit, higherIsBetter }, values };
  };
