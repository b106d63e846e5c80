/** What a plug-in may add, and checks that name the mistake, of what its functions give too. */
import { z } from 'zod';
import type { Solved, WeightMethod } from '../codes/types.js';
import { QuantError } from '../base/errors.js';
import { ema } from '../calibrate/observers/ema.js';
import { histogram } from '../calibrate/statistics/histogram.js';
import { range } from '../calibrate/statistics/range.js';
import type { Observer, Statistic, TensorStats } from '../calibrate/types.js';
import { kindName, messageOf, property } from '../data/user-module.js';
import type { ExportedFile, Exporter } from '../exporters/types.js';
import type { Gate } from '../gate/types.js';
import { assertValid } from '../ir/verify.js';
import { ruleSpec } from '../record/gate.js';
import { rulePass, type Pass, type RewriteRule } from '../rewrite/pass.js';
import type { Range } from '../scheme/types.js';
import { base, NAME, shown, type Maker, type Says } from './plugin-base.js';

type Optional<T, K extends keyof T> = Omit<T, K> & Partial<Pick<T, K>>;
/** An observer of a plug-in. Its statistic may be named: `range`, `histogram` or `ema`. It may have no options. */
export type ObserverPlugin<S extends TensorStats = TensorStats, O = unknown> = Optional<
  Omit<Observer<S, O>, 'statistic'>,
  'options'
> & { readonly statistic: 'range' | 'histogram' | 'ema' | Statistic<S> };
/** A pass of a plug-in, or a rule of which one is made. */
export type PassPlugin = Pass | RewriteRule;
/** A weight method of a plug-in. Without `scale` and `zeroPoint` it keeps those of the grid. */
export type WeightMethodPlugin<O = unknown> = Optional<Omit<WeightMethod<O>, 'solve'>, 'options'> & {
  solve(problem: Parameters<WeightMethod['solve']>[0], options: O): Optional<Solved, 'scale' | 'zeroPoint'>;
};
/** A gate of a plug-in. The name of what it gives is its own. */
export type GatePlugin<O = unknown> = Optional<Omit<Gate<O>, 'judge'>, 'options'> & {
  judge(...args: Parameters<Gate<O>['judge']>): Optional<ReturnType<Gate<O>['judge']>, 'name'>;
};
/** An exporter of a plug-in. It may have no options. */
export type ExporterPlugin<O = unknown> = Optional<Exporter<O>, 'options'>;
type AnyStatistic = Statistic<TensorStats>;
// Existential types, as in the list of observers.
const STATISTICS = [range, histogram, ema.statistic] as readonly unknown[] as readonly AnyStatistic[];

/** Its schema for options; that of no options where it has none. */
export function optionsOf(given: unknown, says: Says): z.ZodType {
  const found = property(given, 'options');
  if (found === undefined) return z.strictObject({});
  if (property(property(found, '_zod'), 'def') === undefined || property(found, 'shape') === undefined) {
    const hint = 'options are an object schema of zod 4: z.strictObject({ … }), with z from quantbench.';
    return says(`has ${kindName(found)} as options`, hint);
  }
  const schema = found as z.ZodObject; // it has the parts of one; another copy of zod makes another class
  if ('name' in schema.shape) return says('has an option called name', 'recipes give the name there.');
  return schema;
}

/** What a plug-in did wrong, by what it threw: broken invariants too. Undefined for an error of the run itself. */
export function mistakeIn(cause: unknown): string | undefined {
  if (!(cause instanceof QuantError)) return messageOf(cause);
  return cause.code === 'INTERNAL' ? cause.message.replace(/^bug in quantbench: /, '') : undefined;
}

/** A method, which keeps its `this`. What it throws is told as a mistake of the plug-in. */
export function method(given: unknown, key: string, says: Says): (...args: readonly unknown[]) => unknown {
  const found = property(given, key);
  if (typeof found !== 'function') return says(`has no function ${key}: it is ${kindName(found)}`);
  return (...args) => {
    try {
      return Reflect.apply(found, given, args) as unknown; /* of a user's function */
    } catch (cause) {
      return says(`threw in ${key}(): ${mistakeIn(cause) ?? rethrow(cause)}`);
    }
  };
}

/** Numbers as a list of a length; undefined for anything else. */
export function numbers(value: unknown, length: number): number[] | undefined {
  const isView = ArrayBuffer.isView(value) && !(value instanceof DataView);
  // Any typed array is iterable.
  const list: unknown[] | undefined = isView ? [...(value as Float64Array)] : Array.isArray(value) ? value : undefined;
  const fits = list?.length === length && list.every((x) => typeof x === 'number' && Number.isFinite(x));
  return fits ? (list as number[]) : undefined; // each was checked
}

export const readObserver =
  (known: readonly Observer[]): Maker<Observer> =>
  (given, says) => {
    const { name, doc } = base(given, says);
    const choose = method(given, 'chooseRange', says);
    const few = property(given, 'chooseFromValues') === undefined ? undefined : method(given, 'chooseFromValues', says);
    return {
      name,
      doc,
      options: optionsOf(given, says),
      statistic: statisticOf(property(given, 'statistic'), known, says),
      chooseRange(stats, scheme, options): Range {
        const made = choose(stats, scheme, options);
        const [min, max] = [
          numbers(property(made, 'min'), stats.channels),
          numbers(property(made, 'max'), stats.channels),
        ];
        if (!min || !max || min.some((x, c) => x > max[c]!)) {
          // of one length
          const each = `each of stats.channels finite numbers (here ${stats.channels}), min ≤ max.`;
          return says('gave no range', `chooseRange() gives { min, max }, ${each}`);
        }
        return { min: Float64Array.from(min), max: Float64Array.from(max) };
      },
      ...(few
        ? {
            chooseFromValues(values, scheme, options) {
              const found = numbers(few(values, scheme, options), 2);
              const [min, max] = found ?? [];
              if (min !== undefined && max !== undefined && min <= max) return [min, max];
              return says('gave no range', 'chooseFromValues() gives [min, max], two finite numbers, min ≤ max.');
            },
          }
        : {}),
    };
  };

const STATISTIC_METHODS = ['settings', 'empty', 'update', 'merge', 'serialize', 'deserialize'];
/** A built-in statistic by name, or one of its own, whose name no other has: caches keep them apart by it. */
function statisticOf(given: unknown, known: readonly Observer[], says: Says): Statistic<TensorStats> {
  const all = [...new Set([...STATISTICS, ...known.map((o) => o.statistic)])];
  const found = all.find((s) => s === given || s.name === given);
  if (found) return found;
  const hint =
    `statistic is ${STATISTICS.map((s) => s.name).join(', ')}, or one of your own: ` +
    '{ name, ordered, needsValues, settings, empty, update, merge, serialize, deserialize }.';
  const name = property(given, 'name');
  if (typeof name !== 'string' || !NAME.test(name)) {
    const seen = typeof given === 'string' ? `the unknown statistic "${given}"` : `${kindName(given)} as statistic`;
    return says(`has ${seen}`, hint);
  }
  if (all.some((s) => s.name === name)) {
    return says(`has a statistic of its own called "${name}", a name that is taken`, 'give it another name.');
  }
  const lacks = [
    ...['ordered', 'needsValues'].filter((key) => typeof property(given, key) !== 'boolean'),
    ...STATISTIC_METHODS.filter((key) => typeof property(given, key) !== 'function'),
  ];
  if (lacks.length) return says(`has a statistic without ${lacks.join(', ')}`, hint);
  return given as Statistic<TensorStats>; // it has all parts; what its functions do is its own
}

export const readPass: Maker<Pass> = (given, says) => {
  const { name, doc } = base(given, says);
  const numerics = z.enum(['exact', 'close', 'lossy']).safeParse(property(given, 'numerics'));
  if (!numerics.success) {
    return says(`has ${shown(property(given, 'numerics'))} as numerics`, 'numerics is exact, close or lossy.');
  }
  const isRule = property(given, 'pattern') !== undefined;
  if (isRule) method(given, 'rewrite', says);
  let pass = given;
  try {
    if (isRule) pass = rulePass(given as RewriteRule); // it has the parts of one
  } catch (cause) {
    return says(`has a pattern that cannot be read: ${mistakeIn(cause) ?? rethrow(cause)}`);
  }
  const run = method(pass, 'run', says);
  const would = property(pass, 'wouldApply') === undefined ? undefined : method(pass, 'wouldApply', says);
  const [opset, needs] = [property(given, 'opset'), property(given, 'needs')];
  return {
    name,
    doc,
    numerics: numerics.data,
    ...(typeof opset === 'number' ? { opset } : {}),
    ...(typeof needs === 'string' ? { needs } : {}),
    ...(would ? { wouldApply: (ctx) => would(ctx) === true } : {}),
    async run(ctx) {
      const made = await Promise.resolve(run(ctx)).catch((cause: unknown) => {
        return says(`threw in run(): ${mistakeIn(cause) ?? rethrow(cause)}`);
      });
      const changes = property(made, 'changes');
      if (typeof changes !== 'number' || !Number.isSafeInteger(changes) || changes < 0) {
        const hint = 'run() gives { changes }, how often it changed something; 0 lets the rounds end.';
        return says(`gave ${shown(changes)} as changes`, hint);
      }
      try {
        assertValid(ctx.model);
      } catch (cause) {
        return says(`left a graph that is not valid: ${messageOf(cause)}`);
      }
      return { changes };
    },
  };
};

export const readWeightMethod: Maker<WeightMethod> = (given, says) => {
  const { name, doc } = base(given, says);
  const inputs = z.enum(['none', 'optional', 'required']).safeParse(property(given, 'inputs'));
  if (!inputs.success) {
    const hint = 'inputs is none, optional or required: whether it looks at what the inputs of a layer are.';
    return says(`has ${shown(property(given, 'inputs'))} as inputs`, hint);
  }
  const solve = method(given, 'solve', says);
  return {
    name,
    doc,
    inputs: inputs.data,
    options: optionsOf(given, says),
    solve(problem, options): Solved {
      const { target, grid } = problem;
      const made = solve(problem, options);
      const scale = numbers(property(made, 'scale') ?? grid.scale, grid.scale.length);
      if (!scale || scale.some((x) => x < 0)) {
        return says('gave no scales', `scale has ${grid.scale.length} finite numbers of at least 0, as grid.scale.`);
      }
      const zeroPoint = numbers(property(made, 'zeroPoint') ?? grid.zeroPoint, grid.zeroPoint.length);
      const fixed = (x: number, i: number): boolean => !grid.symmetric || x === grid.zeroPoint[i];
      if (!zeroPoint?.every((x, i) => x >= grid.low && x <= grid.high && Number.isInteger(x) && fixed(x, i))) {
        const hint = `zeroPoint has ${grid.zeroPoint.length} codes, and those of grid.zeroPoint where grid.symmetric.`;
        return says('gave no zero points', hint);
      }
      const codes = numbers(property(made, 'codes'), target.length);
      if (!codes?.every((c) => Number.isInteger(c) && c >= grid.low && c <= grid.high)) {
        const hint =
          `codes has rows · columns (here ${target.length}) integers from grid.low to grid.high (here ` +
          `${grid.low} to ${grid.high}).`;
        return says('gave no codes', hint);
      }
      return { codes: Int32Array.from(codes), scale: Float64Array.from(scale), zeroPoint: Int32Array.from(zeroPoint) };
    },
  };
};

export const readGate: Maker<Gate> = (given, says) => {
  const { name, doc } = base(given, says);
  if (name === 'confidence') return says('has a name that is taken: it is a key of `gate`', 'give it another name.');
  const judge = method(given, 'judge', says);
  return {
    name,
    doc,
    options: optionsOf(given, says),
    judge(run, baseline, options, confidence) {
      const made = judge(run, baseline, options, confidence);
      const rule = ruleSpec.safeParse(typeof made === 'object' && made !== null ? { ...made, name } : made);
      if (rule.success) return rule.data;
      const hint = 'judge() gives { verdict: pass, fail or undecided, text: a sentence with the numbers, limit? }.';
      return says(
        `gave no verdict: ${rule.error.issues.map((i) => [...i.path, i.message].join(' ')).join('; ')}`,
        hint,
      );
    },
  };
};

const fileSpec = z.strictObject({
  path: z.string(),
  role: z.enum(['model', 'sidecar']),
  data: z.union([z.string(), z.instanceof(Uint8Array)]),
});
export const readExporter: Maker<Exporter> = (given, says) => {
  const { name, doc } = base(given, says);
  const write = method(given, 'export', says);
  return {
    name,
    doc,
    options: optionsOf(given, says),
    export(graph, options): readonly ExportedFile[] {
      const made = z.array(fileSpec).min(1).safeParse(write(graph, options));
      if (made.success) return made.data;
      const hint = 'export() gives [{ path, role: model or sidecar, data: text or bytes }], at least one.';
      return says(`gave no files: ${made.error.issues.map((i) => [...i.path, i.message].join(' ')).join('; ')}`, hint);
    },
  };
};

export function rethrow(cause: unknown): never {
  throw cause;
}
