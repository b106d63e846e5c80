/** An output beside the tensor that it should equal. */
import { z } from 'zod';
import { fail } from '../base/errors.js';
import type { Sample, ValueInfo } from '../ir/feed.js';
import { meanOf } from './accumulators.js';
import { numbersOf, outputName, outputOf } from './tensors.js';
import type { Accumulator } from './types.js';

/** Options of metrics that compare an output with a target tensor. */
export const targetSpec = z.strictObject({
  output: z.string().min(1).describe('The output to compare. Default: the first.').optional(),
  target: z
    .string()
    .min(1)
    .describe('The target tensor. Default: that of the name of the output, or the only one.')
    .optional(),
});

export interface Pair {
  readonly output: ArrayLike<number>;
  readonly target: ArrayLike<number>;
  readonly dims: readonly number[];
}

/**
 * A metric that is the mean of `score` over the samples with target tensors. Throws DATA_SHAPE where the shapes differ,
 * DATA_LABEL where the tensor is missing.
 */
export function meanAgainstTargets(
  metric: string,
  options: z.output<typeof targetSpec>,
  outputs: readonly ValueInfo[],
  score: (pair: Pair, where: { readonly tensor: string; readonly sample: string }) => number,
): Accumulator {
  const name = outputName(metric, options.output, outputs);
  return meanOf((sample, found) => {
    const target = targetOf(metric, sample, name, options.target);
    if (!target) return undefined;
    const { values, dims } = outputOf(metric, found[0], name, sample.id);
    const where = { tensor: name, sample: sample.id };
    if (!sameShape(dims, target.dims))
      fail(
        'DATA_SHAPE',
        `output '${name}' of '${sample.id}' has shape [${dims.join(',')}], but its target has ` +
          `[${target.dims.join(',')}]`,
        where,
        'targets have the shape of the output, with or without the batch axis',
      );
    return score({ output: values, target: target.values, dims }, where);
  });
}

/** The target tensor of a sample for an output; undefined where the sample has none at all. */
export function targetOf(
  metric: string,
  sample: Sample,
  output: string,
  asked: string | undefined,
): { readonly values: ArrayLike<number>; readonly dims: readonly number[] } | undefined {
  const tensors = sample.target?.tensors;
  if (!tensors) return undefined;
  const names = Object.keys(tensors);
  const name = asked ?? (names.includes(output) ? output : names.length === 1 ? names[0] : undefined);
  const tensor = name === undefined ? undefined : tensors[name];
  const values = tensor && numbersOf(tensor);
  if (!tensor || !values)
    return fail(
      'DATA_LABEL',
      `metric ${metric} needs target '${asked ?? output}' of '${sample.id}' as numbers, but it has ` +
        `${tensor ? tensor.dtype : names.map((n) => `'${n}'`).join(', ') || 'none'}`,
      { tensor: output, sample: sample.id },
      'name a target tensor with the option target',
    );
  const bad = Array.prototype.findIndex.call(values, (v: number) => !Number.isFinite(v));
  if (bad >= 0)
    fail(
      'DATA_LABEL',
      `target '${name}' of '${sample.id}' holds ${values[bad]} at element ${bad}`,
      { tensor: output, sample: sample.id },
      'targets are finite numbers',
    );
  return { values, dims: tensor.dims };
}

/** One of the two may lack a leading batch axis of 1. */
function sameShape(a: readonly number[], b: readonly number[]): boolean {
  const without = (dims: readonly number[]): string => (dims[0] === 1 ? dims.slice(1) : dims).join(',');
  return (
    a.join(',') === b.join(',') ||
    (a.length === b.length + 1 && without(a) === b.join(',')) ||
    (b.length === a.length + 1 && without(b) === a.join(','))
  );
}
