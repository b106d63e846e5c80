/** What a weight-only run will take, from sizes alone: nothing is read or run for it. */
import type { Diagnostic } from '../base/errors.js';
import { bytesText, secondsText } from '../base/text.js';
import { scaleTypeOf } from '../formats/scales.js';
import { dtypeBits } from '../ir/dtype.js';
import type { Value } from '../ir/graph.js';
import { layoutOf } from '../scheme/layout.js';
import { sizesOf } from './fit.js';
import { isStreamed, isTooLarge, MAPPED_TIMES, openedFor, OPENED_TIMES, weightBytes } from './large.js';
import type { PlannedVariant } from './variant/types.js';

/** Measured on two cores of an x64 server: the program, kernels and what is read and written at a time. */
const PROGRAM_BYTES = 350e6;
const SECONDS = 3;
/** Of rounding, for each element, reading and writing included; searches take more. */
const SECONDS_PER_ELEMENT = 18e-9;
/** As float32, with codes and parameters beside it. */
const HELD_TIMES = 4;

/** Bytes that are written, memory and CPU time; nothing for other formats than weight-only. */
export function forecastOf(v: PlannedVariant): Diagnostic[] {
  const { planned, format } = v.prepared;
  if (format.plan !== 'weight-only') return [];
  let [elements, written] = [0, 0];
  const coded = new Set<Value>();
  for (const [point, spec] of planned.plan) {
    const value: Value | null | undefined = 'uses' in point ? point : point.node.inputs[point.index];
    if (spec.kind !== 'observed' || !value?.data || planned.tied?.has(value)) continue;
    const { scheme } = spec;
    const { count } = layoutOf(value.data.dims, scheme.granularity);
    const bits = scheme.bits ?? dtypeBits(scheme.dtype);
    coded.add(value);
    elements += value.data.size;
    const zeros = scheme.symmetric ? 0 : bits;
    written += (value.data.size * bits + count * (dtypeBits(scaleTypeOf(value.dtype)) + zeros)) / 8;
  }
  for (const w of planned.tied?.keys() ?? []) coded.add(w);
  const given = weightBytes(v.model);
  const held = [...coded].reduce((n, w) => n + (w.data?.byteLength ?? 0), 0);
  const bytes = written + given - held;
  const memory = isStreamed(v.model, v.recipe.recipe) ? PROGRAM_BYTES : PROGRAM_BYTES + HELD_TIMES * given;
  const seconds = SECONDS + SECONDS_PER_ELEMENT * elements;
  const forecast: Diagnostic = {
    severity: 'note',
    code: 'FORECAST',
    message:
      `about ${bytesText(bytes)} are written, in ${bytesText(memory)} of memory and ${secondsText(1000 * seconds)} ` +
      `of CPU time where weights are rounded; methods that search come on top, ${evaluationOf(v)}`,
  };
  return [forecast];
}

/** What looking at evaluation data takes; with both models open, as much as there is. */
function evaluationOf({ recipe: resolved }: PlannedVariant): string {
  const { recipe } = resolved;
  const sizes = sizesOf(resolved);
  if (!isTooLarge(sizes.bytes, recipe)) return 'and so does evaluation';
  const taken = (times: number): string => bytesText(times * sizes.bytes + PROGRAM_BYTES);
  switch (openedFor(sizes, recipe)) {
    case 'together':
      return `and so does evaluation, both models open, in ${taken(OPENED_TIMES)} of memory`;
    case 'in turns':
      return `and so does evaluation, one model after the other, in ${taken(MAPPED_TIMES)} of memory`;
    case 'never':
      return 'evaluation is left out';
  }
}
