/** What a recipe that fits the schema may still have wrong. */
import { compressions } from '../compress/index.js';
import { nearest, QuantError } from '../base/errors.js';
import { SOURCE_KINDS } from '../data/spec.js';
import { metrics } from '../evaluate/metrics/index.js';
import { formats } from '../formats/index.js';
import { misfit, type Misfit } from '../gate/units.js';
import { nameTest } from '../base/match.js';
import { metricHint, type Complaint } from './complaints.js';
import { isPlain, type Plain } from './override.js';
import { type Plugins } from './plugins.js';
import { type Recipe } from './schema.js';
import { MAX_COMPLAINTS, type Path } from './text.js';

/** Patterns are compiled now, so that a bad one is reported at its line; as many as are told. */
export function filterComplaints(value: Plain): Complaint[] {
  const quantize = isPlain(value.quantize) ? value.quantize : {};
  let found = 0;
  return (['include', 'exclude', 'weightOnly', 'layers'] as const).flatMap((key) => {
    const list: unknown[] = Array.isArray(quantize[key]) ? quantize[key] : [];
    return list.flatMap((item, i): Complaint[] => {
      const entry = isPlain(item) && key === 'layers' ? item.match : item;
      if (typeof entry !== 'string' || found >= MAX_COMPLAINTS) return [];
      try {
        nameTest(entry);
        return [];
      } catch (error) {
        if (!(error instanceof QuantError)) throw error;
        found++;
        return [
          {
            code: error.code,
            message: error.message,
            hint: error.hint,
            path: key === 'layers' ? ['quantize', key, i, 'match'] : ['quantize', key, i],
            atKey: false,
          },
        ];
      }
    });
  });
}

export function passComplaints({ optimize }: Plain, { passes }: Plugins): Complaint[] {
  const names = passes.map((p) => p.name);
  return (['skip', 'add'] as const).flatMap((key) => {
    const list: unknown[] = isPlain(optimize) && Array.isArray(optimize[key]) ? optimize[key] : [];
    return list.flatMap((name, i): Complaint[] => {
      if (typeof name !== 'string' || names.includes(name)) return [];
      const near = nearest(name, names);
      const message = `"${name}" is not a pass.${near ? ` Did you mean "${near}"?` : ''}`;
      const hint = `passes: ${names.join(', ')}`;
      return [{ code: 'RECIPE_UNKNOWN_NAME', message, hint, path: ['optimize', key, i], atKey: false }];
    });
  });
}

/** Limits that do not fit the metrics that the recipe names; a user's own metrics are not known here. */
export function misfitOf(
  gate: NonNullable<Recipe['gate']>,
  named: Recipe['evaluation']['metrics'],
): (Misfit & { readonly hint: string | undefined }) | undefined {
  if (
    !named ||
    named.some((m) => !('name' in m)) ||
    new Set(named.map((m) => 'name' in m && m.name)).size < named.length
  )
    return undefined; // metrics of one name get longer ones
  const measured = named.flatMap((m) => metrics.find((x) => 'name' in m && x.name === m.name) ?? []);
  const odd = misfit(gate, measured);
  return odd && { ...odd, hint: odd.key === 'metric' ? metricHint(gate[odd.rule]?.metric, measured) : undefined };
}

/** A student that nothing says anything of; else it is the quantized model. */
export function studentComplaints({ compress, distill, train }: Plain): Complaint[] {
  const quantized = isPlain(train) && train.quantized !== undefined && train.quantized !== false;
  const made = (Array.isArray(compress) && compress.length > 0) || quantized;
  if (!isPlain(distill) || distill.student !== undefined || made) return [];
  const message = 'nothing says what the student is';
  const hint = 'set distill.student, or compress, whose model is the student then, or train.quantized: true';
  return [{ code: 'RECIPE_INVALID', message, hint, path: ['distill'], atKey: true }];
}

/** What a run cannot do without. */
export function absent(value: Plain): Complaint[] {
  const wanted = (key: Path, hint: string): Complaint => ({
    code: 'RECIPE_INVALID',
    message: `the recipe names no ${key.join('.')}`,
    path: key,
    hint,
    atKey: true,
    missing: true,
  });
  const format = isPlain(value.quantize) ? value.quantize.format : undefined;
  const dataFree = formats.some((f) => f.name === format && f.plan !== 'static');
  const learns = isPlain(value.train) && value.train.data !== undefined; // what it learns from calibrates too
  const noData =
    value.calibration === undefined ||
    value.calibration === null ||
    (isPlain(value.calibration) && value.calibration.data === undefined);
  return [
    ...(value.model === undefined ? [wanted(['model'], 'add `model: path/to/model.onnx`, or give --model')] : []),
    ...(noData && !dataFree && !learns
      ? [
          wanted(
            ['calibration', 'data'],
            `add calibration.data with one of ${SOURCE_KINDS.join(', ')}; or give --calibration-data; or use ` +
              'quantize.format: dynamic, which needs none',
          ),
        ]
      : []),
    ...(noData && dataFree && !learns && looksAtSamples(value.compress)
      ? [
          wanted(
            ['calibration', 'data'],
            'a step of compress looks at samples; sparsify with method: magnitude needs none',
          ),
        ]
      : []),
  ];
}

/** Whether a step that makes the model smaller cannot do without samples. */
const looksAtSamples = (steps: unknown): boolean =>
  Array.isArray(steps) &&
  steps.some((step: unknown) => {
    const { name, ...options }: Plain = isPlain(step) ? step : { name: step };
    const found = compressions.find((c) => c.name === name);
    const parsed = found?.options.safeParse(options);
    return parsed?.success === true && found?.requiresData?.(parsed.data) === true;
  });
