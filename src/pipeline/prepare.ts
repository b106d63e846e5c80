/** From a model file to a plan: load, check, clean, raise the opset, plan. */
import { byName } from '../base/lists.js';
import { fail, type Diagnostic } from '../base/errors.js';
import { formats } from '../formats/index.js';
import type { Format } from '../formats/types.js';
import { isFloat } from '../ir/dtype.js';
import type { Node, Value } from '../ir/graph.js';
import { allGraphs, distinguishBodies, type Model } from '../ir/model.js';
import { inlineFunctions } from '../ir/inline.js';
import type { Tensor } from '../ir/tensor.js';
import { loadModel } from '../onnx/files.js';
import { isQuantizedOp, linearViews, specOf } from '../ops/index.js';
import { inferShapes } from '../ops/infer.js';
import { convertOpset } from '../passes/convert-opset.js';
import { foldSharedWeights } from '../passes/fold-constants.js';
import { fuseGroupQueryAttention } from '../passes/fuse-group-query-attention.js';
import { cleaning, everyPass, optimizing } from '../passes/presets.js';
import { whyNothing } from '../quantize/nothing.js';
import { planCoded } from '../quantize/planners/coded.js';
import { codingOpset, plannerOf } from '../quantize/planners/index.js';
import { activationSchemes } from '../quantize/planners/schemes.js';
import type { Kept } from '../quantize/planners/types.js';
import { dequantizedNodes } from '../quantize/planners/weight-only.js';
import { assertTakes, quirksFor } from '../quantize/validate.js';
import { spectrumNote } from '../quantize/spectrum.js';
import { guardsOf } from '../quantize/unsaturated.js';
import type { Planned } from '../scheme/quantized.js';
import type { NamedOptions } from '../quantize/overrides.js';
import type { Recipe } from '../recipe/schema.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import { builtIn, type Plugins } from '../recipe/plugins.js';
import { runPasses, type Pass, type PassTrace } from '../rewrite/pass.js';
import { evaluateModel } from '../runtime/open.js';
import type { TargetProfile } from '../scheme/profile.js';
import { firstNonFinite } from './finite.js';
import { assertMoreThanTrees } from './nothing.js';
import { requestOf, saturationRule } from './plan-request.js';

/**
 * A model to quantize. Throws MODEL_QUANTIZED, MODEL_TENSOR (NaN or infinite weights) and what loading throws. Without
 * `reads`, external data are not looked at.
 */
export function loadFloatModel(file: string, reads: (model: Model) => boolean = () => true): Model {
  const model = loadModel(file);
  assertFloat(model, file, reads(model));
  return model;
}

/**
 * Throws MODEL_QUANTIZED where a node already computes in integers, MODEL_TENSOR where a weight or bias is not finite.
 */
function assertFloat(model: Model, file: string, reads = true): void {
  for (const g of allGraphs(model.graph)) {
    for (const n of g.nodes) {
      if (isQuantizedOp(n)) {
        fail(
          'MODEL_QUANTIZED',
          `'${file}' is already quantized: it has ${n.op} '${n.name || (n.outputs[0]?.name ?? '')}'`,
          { file, node: n.name },
          'give the float model',
        );
      }
    }
    assertFinite(
      [...g.initializers].filter((v) => reads || (v.data && !isInFile(v.data))),
      file,
    );
  }
}

/** Throws MODEL_TENSOR for weights and biases that are not finite. Masks and clamps hold infinities on purpose. */
export function assertFinite(constants: Iterable<Value>, file: string): void {
  for (const v of constants) {
    if (
      !v.data ||
      !isFloat(v.data.dtype) ||
      ![...v.uses].some((u) => {
        const q = specOf(u.node)?.quant;
        return q?.role === 'compute' && (u.index === q.weight || u.index === q.bias);
      })
    )
      continue;
    const bad = firstNonFinite(v.data);
    if (bad)
      fail(
        'MODEL_TENSOR',
        `weight '${v.name}' holds ${bad.value} at element ${bad.index}`,
        { file, tensor: v.name },
        'export the model again from sound weights',
      );
  }
}

export interface CleanOptions {
  /** The passes that may run. */ readonly among?: readonly Pass[];
  /** Whether layers that share a weight go on doing so. */ readonly tied?: boolean;
  /** As for {@link loadFloatModel}. */ readonly reads?: boolean;
  /** Whether attention becomes the operator that keeps a quantized cache. */ readonly caches?: boolean;
}

const isInFile = (t: Tensor): boolean =>
  t.dtype !== 'string' && (t.source.turned?.source ?? t.source).file !== undefined;

/**
 * Inlines functions and cleans the graph. Changes the model, which came from `file`, in place. Throws what
 * {@link loadFloatModel} throws.
 */
export async function optimizeModel(
  model: Model,
  file: string,
  recipe: Recipe['optimize'],
  report: (d: Diagnostic) => void,
  { among = everyPass, tied = false, reads = true, caches = false }: CleanOptions = {},
): Promise<PassTrace[]> {
  inlineFunctions(model);
  const { skip, add = [] } = recipe;
  for (const [key, names] of Object.entries({ skip, add })) {
    const known = key === 'add' ? among : [...everyPass, ...among];
    const unknown = names.find((name) => !known.some((p) => p.name === name));
    if (unknown === undefined) continue;
    const hint = `passes: ${among.map((p) => p.name).join(', ')}`;
    fail('RECIPE_UNKNOWN_NAME', `optimize.${key}: "${unknown}" is not a pass of the target`, {}, hint);
  }
  const fuse = caches && among.includes(fuseGroupQueryAttention) ? [fuseGroupQueryAttention] : [];
  const passes = [...new Set([...chosenPasses(recipe, among, tied), ...fuse])];
  const traces = recipe.enabled ? await runPasses(model, passes, { evaluate: evaluateModel, report }) : [];
  assertFloat(model, file, reads); // functions and Constant nodes hide what loading looks for, and folding can make NaN
  distinguishBodies(model.graph);
  inferShapes(model);
  return traces;
}

function chosenPasses(
  { level: name, add = [], skip }: Recipe['optimize'],
  among: readonly Pass[],
  tied = false,
): Pass[] {
  const level = name === 'clean' ? cleaning : optimizing[name];
  const added = add.flatMap((n) => among.find((p) => p.name === n && !level.some((l) => l.name === n)) ?? []);
  const own = [...level.filter((l) => among.some((p) => p.name === l.name)), ...(tied ? [] : [foldSharedWeights])];
  return [...new Set([...own, ...added])].filter((p) => !skip.includes(p.name));
}

/** The passes that clean the model of a recipe, in their order. */
export const passesOf = (resolved: ResolvedRecipe): readonly Pass[] =>
  chosenPasses(resolved.recipe.optimize, passesFor(resolved));

export interface Prepared {
  readonly planned: Planned;
  readonly format: Format;
  readonly target: TargetProfile;
  readonly raisedOpset: number | undefined;
  /**
   * The same plan without what works on values that calibration never computed, and other nodes. Throws
   * QUANTIZE_NOTHING.
   */
  readonly without: (never: ReadonlySet<Value>, floats?: ReadonlyMap<Node, string>) => Planned;
}

/** The passes that build nothing which the target of a recipe lacks. */
export function passesFor({ recipe, plugins }: ResolvedRecipe): readonly Pass[] {
  const own = plugins.targets.find((t) => t.name === recipe.target)?.ownOps ?? [];
  return plugins.passes.filter((p) => p.needs === undefined || own.some((o) => o.op === p.needs));
}

/**
 * Chooses schemes by recipe and target, one of `among`, raises the opset to what they need, and plans. Throws
 * QUANTIZE_NOTHING; RECIPE_INVALID for a format or an opset that the target does not run.
 */
export function planModel(
  model: Model,
  recipe: Recipe,
  report: (d: Diagnostic) => void,
  among: Pick<Plugins, 'targets'> = builtIn,
): Prepared {
  assertMoreThanTrees(model);
  const target = byName(among.targets, recipe.target);
  const format = byName(formats, recipe.quantize.format);
  if (format.plan !== 'none' && !target.formats.some((f) => f === format.name)) {
    const hint = `quantize.format: ${target.formats.join(', ')}`;
    fail('RECIPE_INVALID', `target ${target.name} does not run format: ${format.name}`, {}, hint);
  }
  const planner = plannerOf(format.plan);
  const request = requestOf(recipe, target, report);
  const needed = planner.minOpset(model, request, (schemes) => format.minOpset(schemes));
  const rest = restOf(recipe, format);
  const wanted = rest ? Math.max(needed, codingOpset(rest)) : needed;
  if (wanted > target.maxOpset) {
    const hint = `target ${target.name} runs opset ${
      target.maxOpset
    } and older: choose other types, or per-tensor scales`;
    fail('RECIPE_INVALID', `${format.name} with these types needs opset ${wanted}`, {}, hint);
  }
  const { from, to } = convertOpset(model, wanted);
  if (to !== from) {
    inferShapes(model);
    report({
      severity: 'note',
      code: 'OPSET_RAISED',
      message: `opset ${from} → ${to}: ${format.name} with these types needs it`,
    });
  }
  const rule = planner.integerProducts ? saturationRule(recipe, target) : 'allow';
  const plan = (kept: Kept): Planned => {
    const made = planner.plan(model, request, kept);
    assertTakes(made, target);
    return { ...made, ...guardsOf(made, rule, target) };
  };
  const planned = plan({});
  const facts = {
    kind: planner.kind,
    planned,
    activations: activationSchemes(request).map((a) => a.dtype),
    dequantized: dequantizedNodes(planned),
    byChannel: request.weights.granularity === 'channel',
  };
  for (const q of quirksFor(target, facts)) report(q);
  if (target.host === 'simulated') report(simulated(target));
  const spectrum = spectrumNote(planned.floatNodes);
  if (spectrum) report(spectrum);
  somethingOf(model, planned, format, rest, report);
  return {
    planned,
    format,
    target,
    raisedOpset: to !== from ? to : undefined,
    without: (never, floats) => somethingOf(model, plan({ never, ...(floats ? { floats } : {}) }), format, rest),
  };
}

/** Below this many elements, weights are not stored otherwise unless a recipe asks for it. */
const WORTH_STORING = 4096;

/**
 * How the weights that a format leaves in float32 are stored: as the recipe says, else with dynamic in int8; undefined
 * where they are float32.
 */
export function restOf(
  { quantize: { rest } }: Recipe,
  format: Format,
): (NamedOptions & { readonly least: number }) | undefined {
  if (format.plan !== 'static' && format.plan !== 'dynamic' && format.plan !== 'weight-only') return undefined;
  if (rest) {
    const { name, ...options } = rest;
    return { name, options, least: 0 };
  }
  return rest === undefined && format.plan === 'dynamic'
    ? { name: 'integer', options: { bits: 8 }, least: WORTH_STORING }
    : undefined;
}

/** The plan itself. Throws QUANTIZE_NOTHING where it quantizes nothing. */
function somethingOf(
  model: Model,
  planned: Planned,
  { plan }: Format,
  rest: ReturnType<typeof restOf>,
  report?: (d: Diagnostic) => void,
): Planned {
  const counts = (n: Node): boolean => specOf(n)?.quant.role === 'compute' || linearViews(n).length > 0;
  if (plan === 'none' || planned.weightOnlyNodes.size || [...planned.integerNodes].some(counts)) return planned;
  if (plan === 'dynamic' && rest) {
    const stored = [
      ...planCoded(model, { coding: rest.name, options: rest.options, least: rest.least, include: [], exclude: [] })
        .weightOnlyNodes,
    ];
    if (stored.some((n) => specOf(n)?.quant.role === 'compute')) {
      report?.({
        severity: 'warning',
        code: 'ONLY_STORED',
        message:
          `nothing runs in integers: the weights of ${stored.length} nodes are stored in fewer bits and computed ` +
          'with in float32',
        hint:
          'format: qdq makes convolutions faster; quantize.dynamicConv: true forces integers, slower than float ' +
          'on CPUs',
      });
      return planned;
    }
  }
  const { message, hint } = whyNothing(model, planned, plan);
  return fail('QUANTIZE_NOTHING', message, {}, hint);
}

const simulated = ({ name }: TargetProfile): Diagnostic => ({
  severity: 'note',
  code: 'TARGET_SIMULATED',
  message: `target ${
    name
  } does not run here: its numbers are simulated in onnxruntime, and its speed and kernels are not known`,
  hint: 'try the model in the runtime itself before you ship it',
});
