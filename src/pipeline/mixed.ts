/**
 * Mixed precision: measures what each choice costs each layer in accuracy and in the unit of the budget, and spends the
 * budget.
 */
import { item } from '../base/lists.js';
import { measureSensitivity } from '../analyse/sensitivity.js';
import { fail } from '../base/errors.js';
import { groupBy } from '../base/group.js';
import type { TensorStats } from '../calibrate/types.js';
import { cloneModel } from '../ir/clone.js';
import type { Value } from '../ir/graph.js';
import { afterCalibration } from './after-calibration.js';
import { assignParams } from '../quantize/assign.js';
import { solveChoices } from '../quantize/knapsack.js';
import { derive, type ResolvedRecipe } from '../recipe/load.js';
import type { Recipe, RecipeInput } from '../recipe/schema.js';
import type { MixedFacts } from '../record/index.js';
import { analysisData } from './analysis.js';
import { calibratePlans, exampleFeed } from './calibration.js';
import { planModel } from './prepare.js';
import type { Budget, MixedOptions, Priced, Version } from './mixed-types.js';
import { costBits, costBytes, nodesByName, timeLayers, weightOf } from './mixed-costs.js';

export interface Mixed {
  /** Without the budget: its layers say what was chosen, so that it reproduces. */ readonly recipe: ResolvedRecipe;
  readonly facts: MixedFacts;
}

const KEYS = ['sizeBytes', 'sizeRatio', 'macBits', 'latencyRatio'] as const;

/**
 * The recipe with quantize.layers (and exclude, for layers that stay float) instead of its budget. The loss of a layer
 * is measured with only that layer quantized, and losses are added up: errors of layers are nearly independent (Dong et
 * al. 2020, HAWQ-V2, https://arxiv.org/abs/1911.03852; Yao et al. 2021, HAWQ-V3, for the integer programme,
 * https://arxiv.org/abs/2011.10680). Throws RECIPE_INVALID for a budget that cannot be kept, DATA_* and MODEL_RUNTIME.
 */
export async function spendBudget(o: MixedOptions): Promise<Mixed> {
  const { recipe } = o.recipe;
  const { budget: given, ...quantize } = recipe.quantize;
  const budget: Budget = given ?? fail('INTERNAL', 'bug in quantbench: no budget to spend');
  const kind = KEYS.find((k) => budget[k] !== undefined)!; // the schema asks for one
  const limit = budget[kind]!; // just found
  const versions = await prepareVersions(o, quantize, budget);
  const layers = await measureLosses(o, versions, budget);
  const example = await exampleFeed(o.recipe, o.inputs);
  const { fixed, allowed, unit } =
    kind === 'latencyRatio'
      ? await timeLayers(o, versions, layers, limit, example)
      : kind === 'macBits'
        ? costBits(o, versions, layers, limit, example)
        : costBytes(o, kind, versions, layers, limit);
  const priced = [...layers.values()];
  const chosen = solveChoices(
    priced.map((l) => l.choices),
    allowed - fixed,
    budget.solver,
  );
  const least = fixed + priced.reduce((n, l) => n + Math.min(...l.choices.map((c) => c.cost)), 0);
  if (!chosen)
    return fail(
      'RECIPE_INVALID',
      `quantize.budget: ${kind} ${limit} cannot be kept: with the cheapest choice for each layer it is ` +
        `${Number((least / unit).toPrecision(4))}`,
      {},
      'raise the budget, or add a choice with fewer bits',
    );
  if (chosen.every((c) => budget.choices[c] === 'float'))
    return fail(
      'RECIPE_INVALID',
      `quantize.budget: ${kind} ${limit} is kept with every layer in float, so nothing would be quantized`,
      {},
      'lower the budget, or take float out of its choices',
    );
  // one for each
  const spent = (fixed + chosen.reduce((n, c, i) => n + item(item(priced, i).choices, c).cost, 0)) / unit;
  const list: NonNullable<NonNullable<RecipeInput['quantize']>['layers']> = [];
  const floats: string[] = [];
  priced.forEach(({ name, others }, i) => {
    const choice = item(budget.choices, chosen[i]!);
    for (const match of [name, ...others].map(filterOf))
      if (choice === 'float') floats.push(match);
      else list.push({ match, ...choice });
  });
  const made = await derive(
    o.recipe,
    { quantize: { ...quantize, layers: [...list, ...quantize.layers], exclude: [...quantize.exclude, ...floats] } },
    { baseDir: o.recipe.baseDir },
  );
  return {
    recipe: { ...o.recipe, recipe: made.recipe, yaml: made.yaml },
    facts: {
      budget: kind,
      limit,
      spent,
      solver: budget.solver,
      measure: budget.measure,
      samples: budget.samples,
      choices: budget.choices.map((c) => (c === 'float' ? c : describe(c))),
      layers: priced.map((l, i) => ({
        node: l.name,
        ...(l.others.length ? { others: l.others } : {}),
        chosen: chosen[i]!,
        loss: l.choices.map((c) => known(c.loss)),
        cost: l.choices.map((c) => known(c.cost)),
      })),
    },
  };
}

const known = (x: number): number | null => (Number.isFinite(x) ? x : null);

/** A filter that means this name alone. */
export const filterOf = (name: string): string =>
  /[*?]/.test(name) || name.startsWith('re:') ? `re:^${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$` : name;

const describe = (c: object): string =>
  JSON.stringify(c, (_k, v: unknown) => v)
    .replace(/["{}]/g, '')
    .replace(/:/g, ' ')
    .replace(/,/g, ', ');

/** Every choice but float, planned for all layers and with parameters. */
async function prepareVersions(
  o: MixedOptions,
  quantize: Omit<Recipe['quantize'], 'budget'>,
  budget: Budget,
): Promise<(Version | undefined)[]> {
  const planned = budget.choices.map((choice) => {
    if (choice === 'float') return undefined;
    const model = cloneModel(o.model).model;
    // What the recipe says of single layers comes after, and holds.
    const prepared = planModel(
      model,
      { ...o.recipe.recipe, quantize: { ...quantize, layers: [{ match: '*', ...choice }, ...quantize.layers] } },
      o.report,
      o.recipe.plugins,
    );
    return { model, prepared };
  });
  const present = planned.filter((p) => p !== undefined);
  const stats = new Map<(typeof present)[number], ReadonlyMap<Value, TensorStats>>();
  const statics = present.filter((p) => p.prepared.format.plan === 'static');
  for (const same of groupBy(statics, (p) => p.model.opsets.get('')).values()) {
    const c = await calibratePlans({
      model: item(same, 0).model,
      contentSha256: o.contentSha256,
      plans: same.map((p) => ({ planned: p.prepared.planned, observerOptions: quantize.activations.observer })),
      recipe: o.recipe,
      report: o.report,
      onEvent: o.onEvent,
      ...(o.signal ? { signal: o.signal } : {}),
    }); // groups are not empty
    same.forEach((p, i) => {
      const seen = item(c.stats, i); // one for each plan
      stats.set(p, seen);
      p.prepared = { ...p.prepared, planned: afterCalibration(p.prepared, seen).planned };
    });
  }
  return planned.map(
    (p) =>
      p && {
        ...p,
        assigned: assignParams(
          p.prepared.planned,
          stats.get(p) ?? new Map(),
          (point, observer) => {
            const { name, ...options } = quantize['uses' in point && !point.data ? 'activations' : 'weights'].observer;
            return name === observer ? options : {};
          },
          o.recipe.plugins.observers,
        ),
      },
  );
}

/** By layer, with the loss of each choice; a choice that a layer cannot take has an endless one. */
async function measureLosses(
  o: MixedOptions,
  versions: readonly (Version | undefined)[],
  budget: Budget,
): Promise<Map<string, Priced>> {
  const data =
    (await analysisData({
      floatFile: o.floatFile,
      recipe: o.recipe,
      inputs: o.inputs,
      report: o.report,
      onEvent: o.onEvent,
      ...(o.signal ? { signal: o.signal } : {}),
    })) ??
    fail(
      'DATA_MISSING',
      'a budget is spent by measured sensitivity, and the recipe names no data',
      {},
      'set calibration.data or evaluation.data',
    );
  const layers = new Map<string, Priced>();
  for (const [i, v] of versions.entries()) {
    if (!v) continue;
    const { layers: scores } = await measureSensitivity({
      model: v.model,
      planned: v.prepared.planned,
      params: v.assigned.params,
      format: v.prepared.format,
      target: v.prepared.target,
      seed: o.recipe.recipe.quantize.seed,
      batches: data.batches,
      samples: budget.samples,
      measure: budget.measure,
      threads: o.recipe.recipe.evaluation.threads,
      onEvent: o.onEvent,
      signal: o.signal,
    });
    for (const { node, score } of scores) {
      const own = layers.get(node) ?? {
        name: node,
        others: [],
        choices: versions.map((x) => ({ cost: Infinity, loss: x ? Infinity : 0 })),
      };
      own.choices[i] = { cost: Infinity, loss: score };
      layers.set(node, own);
    }
  }
  return withShared(layers, versions);
}

/** Layers that read one stored weight, or a table and the head that is stored with it, take one choice together. */
function withShared(
  layers: ReadonlyMap<string, Priced>,
  versions: readonly (Version | undefined)[],
): Map<string, Priced> {
  const weights = new Map<string, string>();
  for (const v of versions)
    for (const [name, node] of v ? nodesByName(v.model) : []) {
      const w = weightOf(node);
      const table = w && v?.prepared.planned.tied?.get(w);
      if (w && (table ?? !weights.has(name))) weights.set(name, (table ?? w).name);
    }
  const together = groupBy([...layers.values()], (l) => weights.get(l.name) ?? l);
  return new Map(
    [...together.values()].map((list) => {
      const first = item(list, 0); // groups are not empty
      const choices = first.choices.map((_, i) => ({
        cost: Infinity,
        loss: list.reduce((n, l) => n + item(l.choices, i).loss, 0),
      }));
      return [first.name, { name: first.name, others: list.slice(1).map((l) => l.name), choices }];
    }),
  );
}
