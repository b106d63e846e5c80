/**
 * A user's own metric, from an ES module. Whatever it gives is checked, so that a mistake names the file and the
 * sample.
 */
import { z } from 'zod';
import { fail, QuantError, type Where } from '../base/errors.js';
import { importModule, kindName, messageOf, property } from '../data/user-module.js';
import type { ValueInfo } from '../ir/feed.js';
import type { Accumulator, ChosenMetric, Metric } from './types.js';

/** What a metric module exports as `metric`. Its options come from the recipe as they are written. */
export interface MetricModule<O = unknown> extends Pick<Metric, 'name' | 'unit' | 'higherIsBetter'> {
  readonly doc?: string;
  /** Samples without a label are then passed over. Default: false. */
  readonly needsLabels?: boolean;
  start(options: O, outputs: readonly ValueInfo[]): Accumulator;
}

/**
 * The metric that the module exports as `metric`, by name or within the default export: `{ name, unit, higherIsBetter,
 * start(options, outputs), doc?, needsLabels? }`; start() gives an accumulator `{ add(sample, outputs), value() }` with
 * one of
 * `correct` (0 or 1 per scored sample), `scores` (whose mean is the value) or `count` and `resampled(indices)`, from
 * which intervals come. Throws DATA_MISSING, DATA_MODULE; so do its accumulators.
 */
export async function loadMetric(file: string, options: unknown): Promise<ChosenMetric> {
  const loaded = await importModule(file);
  const exported =
    property(loaded, 'metric') ?? property(property(loaded, 'default'), 'metric') ?? property(loaded, 'default');
  const where = { file };
  const wrong = (what: string): never =>
    fail(
      'DATA_MODULE',
      `the metric of ${file} ${what}`,
      where,
      'export const metric = { name, unit, higherIsBetter, start(options) { return { add(sample, outputs) {}, ' +
        'value() {} }; } };',
    );
  if (exported === undefined) return wrong('is missing: there is no export named metric');
  const [name, unit, higherIsBetter, doc, needsLabels, start] = [
    'name',
    'unit',
    'higherIsBetter',
    'doc',
    'needsLabels',
    'start',
  ].map((key) => property(exported, key));
  if (typeof name !== 'string' || !/^[A-Za-z0-9][\w.@-]{0,63}$/.test(name))
    return wrong(
      `has ${name === undefined ? 'no name' : `the name ${JSON.stringify(name)}`}; expected up to 64 letters, ` +
        'digits, and . _ @ -',
    );
  if (typeof unit !== 'string' || unit === '' || unit.length > 32)
    return wrong(
      `has ${unit === undefined ? 'no unit' : `the unit ${JSON.stringify(unit)}`}; expected % for shares of ` +
        '100, else a word',
    );
  if (typeof higherIsBetter !== 'boolean')
    return wrong(`does not say whether higherIsBetter: it is ${kindName(higherIsBetter)}`);
  if (typeof start !== 'function') return wrong(`has no function start: it is ${kindName(start)}`);
  return {
    options,
    metric: {
      name,
      unit,
      higherIsBetter,
      doc: typeof doc === 'string' ? doc : `The metric of ${file}.`,
      needsLabels: needsLabels === true,
      options: z.unknown(),
      start: (given, outputs) =>
        checked(
          name,
          run(where, 'start', () => Reflect.apply(start, exported, [given, outputs])),
          where,
        ),
    },
  };
}

/** Calls the user's code. */
function run(where: Where, step: string, call: () => unknown): unknown {
  try {
    return call();
  } catch (cause) {
    if (cause instanceof QuantError) throw cause;
    return fail(
      'DATA_MODULE',
      `${step}() of the metric of ${where.file} ` +
        `threw${where.sample === undefined ? '' : ` at '${where.sample}'`}: ${messageOf(cause)}`,
      where,
      undefined,
      cause,
    );
  }
}

function checked(metric: string, made: unknown, where: Where): Accumulator {
  const wrong = (what: string, at: Where = where): never =>
    fail('DATA_MODULE', `metric ${metric} of ${where.file}: ${what}`, at);
  const method = (key: string, optional: boolean): ((...args: unknown[]) => unknown) | undefined => {
    const found = property(made, key);
    if (found === undefined && optional) return undefined;
    if (typeof found !== 'function')
      return wrong(`start() gave ${kindName(made)} whose ${key} is ${kindName(found)}, not a function`);
    return (...args) => Reflect.apply(found, made, args) as unknown; // what a user's function returns is unknown
  };
  const add = method('add', false);
  const value = method('value', false);
  const resampled = method('resampled', true);
  const number = (found: unknown, of: string): number | undefined => {
    if (found === undefined || (typeof found === 'number' && Number.isFinite(found))) return found;
    return wrong(
      `${of} gave ${typeof found === 'number' ? found : kindName(found)}; expected a finite number, or ` +
        'undefined where nothing was scored',
    );
  };
  const list = (
    key: 'correct' | 'scores',
    fits: (v: number) => boolean,
    expected: string,
  ): readonly number[] | undefined => {
    const found = run(where, key, () => property(made, key));
    if (found === undefined) return undefined;
    const values: unknown[] = Array.isArray(found) ? found : wrong(`${key} is ${kindName(found)}, not an array`);
    const bad = values.findIndex((v) => typeof v !== 'number' || !fits(v));
    if (bad >= 0) wrong(`${key}[${bad}] is ${String(values[bad])}; expected ${expected}`);
    return values as number[]; // each was checked
  };
  return {
    add(sample, outputs) {
      const found = run({ ...where, sample: sample.id }, 'add', () => add?.(sample, outputs));
      if (!(found instanceof Promise)) return;
      found.catch(() => undefined); // the mistake below is the one to tell
      wrong('add() is async; it must finish before it returns', { ...where, sample: sample.id });
    },
    value: () =>
      number(
        run(where, 'value', () => value?.()),
        'value()',
      ),
    get correct() {
      return list('correct', (v) => v === 0 || v === 1, '0 or 1');
    },
    get scores() {
      return list('scores', Number.isFinite, 'a finite number');
    },
    get count() {
      return resampled
        ? number(
            run(where, 'count', () => property(made, 'count')),
            'count',
          )
        : undefined;
    },
    ...(resampled
      ? {
          resampled: (indices: Uint32Array) =>
            number(
              run(where, 'resampled', () => resampled(indices)),
              'resampled()',
            ),
        }
      : {}),
  };
}
