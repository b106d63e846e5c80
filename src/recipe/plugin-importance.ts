/** Measures of channels that a plug-in adds. */
import { z } from 'zod';
import { eachMap } from '../compress/seen.js';
import type { Importance, ImportanceContext } from '../compress/importance/types.js';
import { property } from '../data/user-module.js';
import { base, shown, type Maker } from './plugin-base.js';
import { method, mistakeIn, optionsOf, rethrow } from './plugin-kinds.js';

/** What a measure of a plug-in is given. */
export interface ImportancePluginContext extends ImportanceContext {
  /** Calls `visit` with what layers read of each unit, for each calibration sample. Only with `needs: inputs`. */
  readonly eachMap: (
    visit: (unit: number, map: { readonly data: Float32Array; readonly dims: readonly number[] }) => void,
  ) => Promise<void>;
}
/** An importance of a plug-in. It may have no options. */
export type ImportancePlugin<O = unknown> = Omit<Importance<O>, 'options' | 'score'> & {
  readonly options?: Importance<O>['options'];
  score(context: ImportancePluginContext, options: O): Promise<ArrayLike<number>> | ArrayLike<number>;
};

export const readImportance: Maker<Importance> = (given, says) => {
  const { name, doc } = base(given, says);
  const needs = z.enum(['nothing', 'inputs']).safeParse(property(given, 'needs'));
  if (!needs.success) {
    const hint = 'needs is nothing or inputs: whether it looks at calibration samples.';
    return says(`has ${shown(property(given, 'needs'))} as needs`, hint);
  }
  const score = method(given, 'score', says);
  return {
    name,
    doc,
    needs: needs.data,
    options: optionsOf(given, says),
    async score(context, options) {
      const whole: ImportancePluginContext = { ...context, eachMap: (visit) => eachMap(context, visit) };
      const made = await Promise.resolve(score(whole, options)).catch((cause: unknown) =>
        says(`threw in score(): ${mistakeIn(cause) ?? rethrow(cause)}`),
      );
      const list = valuesOf(made);
      const right = list?.length === context.units.length && list.every((x) => x >= 0);
      if (list && right) return Float64Array.from(list);
      return says(
        'gave no scores',
        `score() gives ${context.units.length} numbers of at least 0, one for each of context.units.`,
      );
    },
  };
};

/** Numbers, Infinity among them; undefined for anything else. */
function valuesOf(made: unknown): readonly number[] | undefined {
  const list: unknown[] | undefined =
    ArrayBuffer.isView(made) && !(made instanceof DataView)
      ? [...(made as Float64Array)] // any typed array is iterable
      : Array.isArray(made)
        ? made
        : undefined;
  return list?.every((x): x is number => typeof x === 'number' && !Number.isNaN(x)) ? list : undefined;
}
