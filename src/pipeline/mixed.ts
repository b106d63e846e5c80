/**
 * Mixed precision: measures what each choice costs each layer in accuracy and in the unit of the budget, and spends the
 * budget.
 */
import { measureSensitivity } from '../analyse/sensitivity.js';
import { fail, type Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import { groupBy } from '../base/group.js';
import { createRng } from '../base/rng.js';
import type { TensorStats } from '../calibrate/types.js';
import { cloneModel } from '../ir/clone.js';
import { codesBytes } from '../formats/narrow-codes.js';
import { writeModel } from '../formats/write.js';
import { dtypeBits } from '../ir/dtype.js';
import type { Feed, ValueInfo } from '../ir/feed.js';
import type { Model, Node, Value } from '../ir/graph.js';
import { uniqueLabels } from '../ir/labels.js';
import { loadModel } from '../onnx/files.js';
import { encodeModelPieces } from '../onnx/encode.js';
import { forgetInferred } from '../ops/infer.js';
import { specOf } from '../ops/index.js';
import { afterCalibration } from './after-calibration.js';
import { assignParams, type Assigned } from '../quantize/assign.js';
import { solveChoices, type Choice } from '../quantize/knapsack.js';
import { derive, type ResolvedRecipe } from '../recipe/load.js';
import type { Recipe, RecipeInput } from '../recipe/schema.js';
import type { MixedFacts } from '../record/index.js';
import { profilePair } from '../runtime/profile.js';
import { codings } from '../scheme/codings/index.js';
import { matrixOf } from '../scheme/codings/matrix.js';
import { analysisData } from './analysis.js';
import { calibratePlans, exampleFeed } from './calibration.js';
import { macsByNode, nodeFacts } from './facts.js';
import { atBatch, randomFeed } from './feeds.js';
import { planModel, type Prepared } from './prepare.js';
import { bytesOnDisk } from './sources.js';

type Budget = NonNullable<Recipe['quantize']['budget']>;
export interface MixedOptions {
  /** Has a budget. */
  readonly recipe: ResolvedRecipe;
  /** Cleaned and adjusted; not changed. */
  readonly model: Model;
  readonly floatFile: string;
  readonly contentSha256: () => string;
  readonly inputs: readonly ValueInfo[];
  readonly report: (d: Diagnostic) => void;
  readonly onEvent: OnEvent;
  /** Where the times of layers come from. Default: onnxruntime's profile. */
  readonly profile?: typeof profilePair;
  readonly signal?: AbortSignal | undefined;
}
export interface Mixed {
  /** Without the budget: its layers say what was chosen, so that it reproduces. */ readonly recipe: ResolvedRecipe;
  readonly facts: MixedFacts;
}

/** One choice, planned for all layers. */
interface Version {
  readonly model: Model;
  readonly prepared: Prepared;
  readonly assigned: Assigned;
}
/** What one layer is under one choice. */
interface Priced {
  readonly name: string;
  readonly choices: Choice[];
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
  const spent = (fixed + chosen.reduce((n, c, i) => n + priced[i]!.choices[c]!.cost, 0)) / unit; // one for each
  const list: NonNullable<NonNullable<RecipeInput['quantize']>['layers']> = [];
  const floats: string[] = [];
  priced.forEach(({ name }, i) => {
    const choice = budget.choices[chosen[i]!]!; // as above
    if (choice === 'float') floats.push(filterOf(name));
    else list.push({ match: filterOf(name), ...choice });
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
        chosen: chosen[i]!,
        loss: l.choices.map((c) => known(c.loss)),
        cost: l.choices.map((c) => known(c.cost)),
      })), // as above
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
      model: same[0]!.model,
      contentSha256: o.contentSha256,
      plans: same.map((p) => ({ planned: p.prepared.planned, observerOptions: quantize.activations.observer })),
      recipe: o.recipe,
      report: o.report,
      onEvent: o.onEvent,
      ...(o.signal ? { signal: o.signal } : {}),
    }); // groups are not empty
    same.forEach((p, i) => {
      const seen = c.stats[i]!; // one for each plan
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
        choices: versions.map((x) => ({ cost: Infinity, loss: x ? Infinity : 0 })),
      };
      own.choices[i] = { cost: Infinity, loss: score };
      layers.set(node, own);
    }
  }
  return layers;
}

interface Allowed {
  /** What is not of a layer. */ readonly fixed: number;
  readonly allowed: number;
  /** Costs ÷ this are in the unit of the budget. */ readonly unit: number;
}

const nodesByName = (model: Model): Map<string, Node> =>
  new Map([...uniqueLabels(model.graph.topological())].map(([n, name]) => [name, n]));

/** Sets the cost of each choice that a layer can take. */
function setCosts(
  o: MixedOptions,
  versions: readonly (Version | undefined)[],
  layers: ReadonlyMap<string, Priced>,
  cost: (name: string, node: Node, v: Version | undefined) => number,
): void {
  versions.forEach((v, i) => {
    const nodes = nodesByName(v?.model ?? o.model);
    for (const l of layers.values()) {
      const node = nodes.get(l.name);
      const { loss } = l.choices[i]!; // one for each version
      if (node && Number.isFinite(loss)) l.choices[i] = { loss, cost: cost(l.name, node, v) };
    }
  });
}

function costBits(
  o: MixedOptions,
  versions: readonly (Version | undefined)[],
  layers: ReadonlyMap<string, Priced>,
  limit: number,
  example: Feed | undefined,
): Allowed {
  const macs = macsByNode(o.model, example);
  const total = [...layers.keys()].reduce((n, name) => n + (macs.get(name) ?? 0), 0) || 1;
  setCosts(o, versions, layers, (name, n, v) => ((macs.get(name) ?? 0) * (v ? bitsOf(n, v) : 32 * 32)) / total);
  return { fixed: 0, allowed: limit, unit: 1 };
}

/** Bytes of the weights; the rest of the file is found by writing it once. */
function costBytes(
  o: MixedOptions,
  kind: 'sizeBytes' | 'sizeRatio',
  versions: readonly (Version | undefined)[],
  layers: ReadonlyMap<string, Priced>,
  limit: number,
): Allowed {
  setCosts(o, versions, layers, (_name, n, v) => (v ? weightBytes(n, v) : floatBytes(n)));
  const at = versions.findIndex((v) => v !== undefined);
  const first = versions[at]!; // the schema asks for two choices, and both cannot be float
  const nodes = nodesByName(first.model);
  const weights = [...layers.values()].reduce((n, l) => {
    const { cost } = l.choices[at]!;
    return n + (Number.isFinite(cost) ? cost : floatBytes(nodes.get(l.name)!));
  }, 0); // layers are nodes of it
  const model = rewrite(o, first);
  forgetInferred(model);
  const fixed = encodeModelPieces(model).byteLength - weights;
  const float = bytesOnDisk(o.floatFile, loadModel(o.floatFile));
  return kind === 'sizeRatio' ? { fixed, allowed: limit * float, unit: float } : { fixed, allowed: limit, unit: 1 };
}

const floatBytes = (n: Node): number => 4 * (weightOf(n)?.data?.size ?? 0);

function weightOf(n: Node): Value | undefined {
  const role = specOf(n)?.quant;
  const v = role?.role === 'compute' ? n.inputs[role.weight] : n.inputs[0];
  return v?.data ? v : undefined;
}

/** Bits of the weight × bits of the activation. */
function bitsOf(n: Node, { prepared, assigned }: Version): number {
  const w = weightOf(n);
  const of = (v: Value | null | undefined, index: number): number => {
    const use = n.use(index);
    const p = (use && assigned.params.get(use)) ?? (v ? assigned.params.get(v) : undefined);
    return p ? (p.scheme.bits ?? dtypeBits(p.scheme.dtype)) : 32;
  };
  const index = w ? n.inputs.indexOf(w) : -1;
  const activation = n.inputs.findIndex((v, i) => v !== null && i !== index);
  const weight = index < 0 ? 32 : of(w, index);
  return (
    weight *
    (prepared.format.plan === 'dynamic' && prepared.planned.integerNodes.has(n)
      ? 8
      : of(n.inputs[activation], activation))
  );
}

/** What the weight takes in the file: codes, scales, zero points, tables. */
function weightBytes(n: Node, { prepared, assigned }: Version): number {
  const w = weightOf(n);
  if (!w?.data) return 0;
  const spec = prepared.planned.plan.get(w);
  if (spec?.kind === 'coded') {
    const made = codings
      .find((c) => c.name === spec.coding)!
      .encode(matrixOf(w.data.f32(), w.data.dims, spec.axis), spec.options, createRng(0, 'rounding')); // planned
    return made.codes.byteLength + (made.scale?.byteLength ?? 0) + (made.levels?.byteLength ?? 0);
  }
  const use = n.use(n.inputs.indexOf(w));
  const p = assigned.params.get(w) ?? (use && assigned.params.get(use));
  if (!p) return 4 * w.data.size;
  return codesBytes(p.scheme, w.data.size) + p.scale.length * (4 + dtypeBits(p.scheme.dtype) / 8);
}

/** A choice as a model. */
function rewrite(
  o: MixedOptions,
  { model, prepared: { planned, format, target }, assigned: { params } }: Version,
): Model {
  return writeModel(format, { model, planned, params, seed: o.recipe.recipe.quantize.seed }, target).model;
}

/** Costs in µs, from onnxruntime's profile of each choice for all layers. */
async function timeLayers(
  o: MixedOptions,
  versions: readonly (Version | undefined)[],
  layers: ReadonlyMap<string, Priced>,
  limit: number,
  example: Feed | undefined,
): Promise<Allowed> {
  const macs = macsByNode(o.model, example);
  const feed = atBatch(example ?? randomFeed(o.inputs, 0), o.inputs, 1);
  let fixed: number | undefined;
  let float = 0;
  for (const [i, v] of versions.entries()) {
    if (!v) continue;
    const nodes = nodeFacts(v.model, v.prepared.planned, macs);
    const float32 = cloneModel(v.model).model;
    const profile = await (o.profile ?? profilePair)({
      float: float32,
      quantized: rewrite(o, v),
      nodes,
      feed,
      runs: 50,
      threads: 1,
      signal: o.signal,
    });
    const times = new Map(profile.layers.map((l) => [l.node, l]));
    if (fixed === undefined) {
      float = profile.floatUs;
      fixed = profile.quantizedUs - [...layers.keys()].reduce((n, name) => n + (times.get(name)?.quantizedUs ?? 0), 0);
      versions.forEach((x, k) => {
        if (!x)
          for (const l of layers.values())
            l.choices[k] = { loss: l.choices[k]!.loss, cost: times.get(l.name)?.floatUs ?? 0 };
      }); // one for each version
    }
    for (const l of layers.values()) {
      const { loss } = l.choices[i]!;
      if (Number.isFinite(loss)) l.choices[i] = { loss, cost: times.get(l.name)?.quantizedUs ?? 0 };
    } // as above
  }
  return { fixed: fixed ?? 0, allowed: limit * float, unit: float };
}
