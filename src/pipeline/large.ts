/** What is done otherwise for models whose weights take much of the memory that a run may take. */
import type { Node, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { constantsOf } from '../cost/constants.js';
import { formats } from '../formats/index.js';
import type { Format } from '../formats/types.js';
import { blockedForm } from '../formats/weight-only.js';
import { dtypeBits } from '../ir/dtype.js';
import { linearView, specOf } from '../ops/index.js';
import { observerOf } from '../quantize/assign.js';
import { rowSolver } from '../quantize/later.js';
import { overridesOf } from '../quantize/overrides.js';
import type { Recipe } from '../recipe/schema.js';
import { byName } from '../base/lists.js';
import type { QuantPoint, QuantScheme, QuantSpec, RowSolver } from '../scheme/types.js';
import { methodAt, overrideOf } from './layer-override.js';
import { isForRuntime } from './target-of.js';
import type { PlannedVariant } from './variant/types.js';

/** Weights that are held as a whole where a recipe names no memory, and the share of it that they may take. */
const HELD_BYTES = 256e6;
const HELD_SHARE = 1 / 8;
/** Models of more than these are not opened in onnxruntime unasked: there it takes two to three times their bytes. */
const OPENED_BYTES = 1e9;
export const OPENED_TIMES = 3;

/** Bytes of a model's constants. */
export function weightBytes(model: Model): number {
  let n = 0;
  for (const t of constantsOf(model)) n += t.byteLength;
  return n;
}

/** Whether weights of a model are quantized while they are written, some rows at a time, instead of being held. */
export const isStreamed = (model: Model, { memory }: Pick<Recipe, 'memory'>): boolean =>
  weightBytes(model) > (memory === undefined ? HELD_BYTES : memory * HELD_SHARE);

/** Whether a model of so many bytes is too large to be opened as a whole in onnxruntime, unless data ask for it. */
export const isTooLarge = (bytes: number, { memory }: Pick<Recipe, 'memory'>): boolean =>
  bytes > (memory === undefined ? OPENED_BYTES : memory / OPENED_TIMES);

/** What onnxruntime takes of a model's bytes: it maps data files, and copies what a file holds itself. */
export const MAPPED_TIMES = 1.2;
const COPIED_TIMES = 2.5;

/**
 * How models that are too large are opened for evaluation data: both, where a recipe names no memory; one at a time
 * where it has room for the float model; never without data. `fileBytes` are those of the model file without its data
 * files.
 */
export function openedFor(
  { bytes, fileBytes }: { readonly bytes: number; readonly fileBytes: number },
  { memory, evaluation, calibration }: Pick<Recipe, 'memory' | 'evaluation' | 'calibration'>,
): 'together' | 'in turns' | 'never' {
  if ((evaluation.data ?? calibration.data) === undefined) return 'never';
  if (memory === undefined) return 'together';
  return bytes * (fileBytes > bytes / 2 ? COPIED_TIMES : MAPPED_TIMES) < memory ? 'in turns' : 'never';
}

const planOf = ({ quantize }: Pick<Recipe, 'quantize'>): Format['plan'] => byName(formats, quantize.format).plan;

/** Whether weights are read once, when they are written: they are checked then, instead of when they are loaded. */
export const readsOnce = (model: Model, recipe: Pick<Recipe, 'memory' | 'quantize'>): boolean =>
  planOf(recipe) === 'weight-only' && isStreamed(model, recipe);

/** Whether weights are made while they are written: into data files, which are written piece by piece. */
export const writesInPieces = (model: Model, recipe: Pick<Recipe, 'memory' | 'quantize'>): boolean =>
  ['weight-only', 'half'].includes(planOf(recipe)) && isStreamed(model, recipe);

/**
 * How the parameters of points are chosen while they are written; undefined where all are chosen before: where the
 * model is small, or something looks at parameters.
 */
export function laterOf(
  v: PlannedVariant,
  observerOptions: (observer: string) => unknown,
): ((point: QuantPoint, spec: QuantSpec & { kind: 'observed' }) => RowSolver | undefined) | undefined {
  const { recipe, plugins } = v.recipe;
  const { weights: w, layers: given } = recipe.quantize;
  const { planned, format } = v.prepared;
  const looked =
    w.lowRank !== undefined ||
    w.rounding === 'stochastic' ||
    (recipe.exports ?? []).length > 0 ||
    isForRuntime(v.recipe) ||
    v.asks.qat ||
    v.asks.transport ||
    v.asks.sensitivity;
  if (format.plan !== 'weight-only' || !planned.weightOnly || looked || !isStreamed(v.model, recipe)) return undefined;
  const form = planned.weightOnly;
  const layers = given.map(overrideOf);
  const { graph } = v.model;
  const compute = graph.topological().filter((n) => specOf(n)?.quant.role === 'compute');
  const own = overridesOf(graph, layers, compute);
  const methodOf = (n: Node): { readonly name: string; readonly options: unknown } => {
    const named = methodAt(n, own, layers);
    const { name, ...options } = w.method;
    return named ?? { name, options };
  };
  return (point, spec) => {
    const { scheme } = spec;
    const nodes = 'uses' in point ? [...point.uses].map((u) => u.node) : [point.node];
    const written = nodes.filter((n) => planned.weightOnlyNodes.has(n));
    const [first] = written;
    // tables have no inputs, and a head has the codes of its table
    const unseen = isTable(written) || ('uses' in point && planned.tied?.has(point) === true);
    if (!unseen && w.correct.length > 0) return undefined;
    if (!first || !written.every((n) => blockedForm(n, scheme, form)) || !isWhole(point, scheme.bits, scheme.dtype))
      return undefined;
    const chosen = unseen && bitsOf(scheme) >= NEAR_BITS ? ROUNDED : methodOf(first);
    const method = byName(plugins.weightMethods, chosen.name);
    const sees =
      !unseen &&
      (method.inputs === 'required' || (method.inputs === 'optional' && recipe.calibration.data !== undefined));
    if (!method.byPart || sees || scheme.granularity.kind !== 'block') return undefined;
    const options = spec.observerOptions ?? observerOptions(spec.observer);
    const observer = { by: observerOf(spec.observer, plugins.observers), options };
    return rowSolver(scheme, scheme.granularity.size, observer, { by: method, options: chosen.options });
  };
}

const isTable = (nodes: readonly Node[]): boolean =>
  nodes.length > 0 && nodes.every((n) => linearView(n)?.kind === 'lookup');
const bitsOf = ({ bits, dtype }: QuantScheme): number => bits ?? dtypeBits(dtype);
/** What tables of so many bits are chosen by: rounding is near enough. */
const NEAR_BITS = 8;
const ROUNDED = { name: 'round', options: {} };

/** Whether codes fill the bits of their type: fewer are written in planes. */
const isWhole = (point: QuantPoint, bits: number | undefined, dtype: Parameters<typeof dtypeBits>[0]): boolean => {
  const v: Value | null | undefined = 'uses' in point ? point : point.node.inputs[point.index];
  return v?.data !== undefined && (bits === undefined || bits >= dtypeBits(dtype));
};
