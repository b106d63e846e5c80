/** One of the recipes that run together: its copy of the model, what was decided for it and what was measured. */
import { existsSync, readdirSync, rmdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import type { QuantError } from '../base/errors.js';
import { type Diagnostic } from '../base/errors.js';
import { sha256File, writeFileAtomic } from '../base/files.js';
import { bytesText } from '../base/text.js';
import { version } from '../base/version.js';
import { saturatingLayers, saturationRisk } from '../analyse/saturation.js';
import type { SaturatingLayer } from '../analyse/saturation-effect.js';
import type { TensorStats } from '../calibrate/types.js';
import type { Layerwise } from '../codes/run.js';
import { cloneModel } from '../ir/clone.js';
import { allGraphs, type Model, type Value } from '../ir/graph.js';
import { assertValid } from '../ir/verify.js';
import { saveModel } from '../onnx/files.js';
import { specOf } from '../ops/index.js';
import { forgetInferred } from '../ops/infer.js';
import { coded } from '../formats/coded.js';
import { planCoded } from '../quantize/planners/coded.js';
import type { Rewritten } from '../formats/types.js';
import { writeModel, type Written } from '../formats/write.js';
import { assignParams, withWeightParams, type Assigned } from '../quantize/assign.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import { relativePath } from '../recipe/override.js';
import type {
  CalibrationFacts,
  EvaluationFacts,
  GraphFacts,
  LatencyFacts,
  LayerErrors,
  MixedFacts,
  NodeFacts,
  PointFacts,
  RunRecord,
  RuntimeFacts,
  Sensitivity,
} from '../record/index.js';
import type { KernelOf } from '../runtime/inspect-optimized.js';
import { environment } from '../runtime/environment.js';
import { afterCalibration } from './after-calibration.js';
import { bodyFacts, graphFacts, modelFacts, nodeFacts, pointFacts } from '../facts/model.js';
import { planModel, restOf, type Prepared } from './prepare.js';
import { publish, stagingDir } from './staging.js';

/** What one variant measured, filled in stage by stage. */
export interface Measured {
  runtime?: RuntimeFacts;
  kernels?: readonly KernelOf[];
  evaluation?: EvaluationFacts;
  latency?: LatencyFacts;
  layers?: LayerErrors;
  sensitivity?: Sensitivity;
  mixed?: MixedFacts;
}

export class Variant {
  /** As given, until a budget is spent. */
  recipe: ResolvedRecipe;
  readonly outDir: string;
  readonly diagnostics: Diagnostic[] = [];
  readonly report: (d: Diagnostic) => void;
  readonly measured: Measured = {};
  /** Set where this variant failed and others went on. */
  error: QuantError | undefined;
  observer: string | undefined;
  saturation: RuntimeFacts['saturation'];
  /** The layers that can saturate. */
  saturating: readonly SaturatingLayer[] = [];
  #model: Model | undefined;
  #prepared: Prepared | undefined;
  #macs: ReadonlyMap<string, number> = new Map();
  #nodes: ReturnType<typeof nodeFacts> = [];
  #inBodies: ReturnType<typeof bodyFacts> = [];
  #points: PointFacts[] = [];
  #graph: GraphFacts | undefined;
  #stats: ReadonlyMap<Value, TensorStats> = new Map();
  #assigned: Assigned | undefined;
  #float: Model | undefined;
  #tensors: Rewritten['tensors'] = new Map();
  #staging: string | undefined;

  /** `tell` gets each finding too. */
  constructor(recipe: ResolvedRecipe, outDir: string, tell: (d: Diagnostic) => void) {
    this.recipe = recipe;
    this.outDir = outDir;
    this.report = (d) => {
      this.diagnostics.push(d);
      tell(d);
    };
  }

  get model(): Model {
    return this.#model!;
  } // set by plan(), which comes first
  /**
   * Products and convolutions in branches of If and bodies of Loop and Scan, which node facts do not cover. Before the
   * rewrite.
   */
  get bodies(): { readonly all: number; readonly integer: number; readonly ops: readonly string[] } {
    const nodes = [...allGraphs(this.model.graph)]
      .slice(1)
      .flatMap((g) => [...g.nodes])
      .filter((n) => specOf(n)?.quant.role === 'compute');
    const { integerNodes, weightOnlyNodes } = this.prepared.planned;
    return {
      all: nodes.length,
      integer: nodes.filter((n) => integerNodes.has(n) || weightOnlyNodes.has(n)).length,
      ops: [...new Set(nodes.map((n) => n.op))],
    };
  }
  get prepared(): Prepared {
    return this.#prepared!;
  } // as above
  get nodes(): ReturnType<typeof nodeFacts> {
    return this.#nodes;
  }
  get params(): Assigned['params'] {
    return this.#assigned!.params;
  } // set by assign()
  /** The float model that was rewritten, with the same names. */
  get float(): Model {
    return this.#float!;
  } // set by rewrite()
  get tensors(): Rewritten['tensors'] {
    return this.#tensors;
  }
  get file(): string {
    return path.join(this.#staging!, 'model.onnx');
  } // set by stage(), before quantize()

  /** Plans on a copy of the cleaned model. Throws QUANTIZE_NOTHING. */
  plan(cleaned: Model, macs: (model: Model) => ReadonlyMap<string, number>): void {
    this.#model = cloneModel(cleaned).model;
    this.#prepared = planModel(this.#model, this.recipe.recipe, this.report, this.recipe.plugins);
    this.#macs = macs(this.#model);
    this.#nodes = nodeFacts(this.#model, this.#prepared.planned, this.#macs);
    this.#inBodies = bodyFacts(this.#model, this.#prepared.planned);
    this.#points = pointFacts(this.#prepared.planned, new Map(), undefined);
    this.#graph = graphFacts(this.#model, this.#prepared.planned);
  }

  /** Takes the output folder. Throws OUTPUT_WRITE. */
  stage(): void {
    this.#staging = stagingDir(this.outDir);
  }

  /** Chooses the parameters; once. */
  assign(stats: ReadonlyMap<Value, TensorStats>): void {
    if (this.#assigned) return;
    this.#settle(stats);
    const { planned } = this.prepared;
    const assigned = assignParams(
      planned,
      stats,
      (point, observer) =>
        observerOptions(
          this.recipe.recipe.quantize,
          'uses' in point && !point.data ? 'activations' : 'weights',
          observer,
        ),
      this.recipe.plugins.observers,
    );
    assigned.diagnostics.forEach(this.report);
    this.#stats = stats;
    this.#assigned = assigned;
  }

  /** Leaves in float what calibration shows to be better there. */
  #settle(stats: ReadonlyMap<Value, TensorStats>): void {
    const { planned, told } = afterCalibration(this.prepared, stats);
    told.forEach(this.report);
    if (planned === this.prepared.planned) return;
    this.#prepared = { ...this.prepared, planned };
    this.#nodes = nodeFacts(this.model, planned, this.#macs);
    this.#inBodies = bodyFacts(this.model, planned);
    this.#graph = graphFacts(this.model, planned);
  }

  /**
   * Chooses the codes of weights layer after layer and corrects what they cost, where the recipe asks for it. Gives one
   * line about it.
   */
  async refine(choose: (v: Variant, reference: ReturnType<typeof cloneModel>) => Promise<Layerwise>): Promise<string> {
    const reference = cloneModel(this.model);
    const { params, layers, biases } = await choose(this, reference);
    this.#float = reference.model;
    // set by assign(), which comes first
    this.#assigned = withWeightParams(this.prepared.planned, this.#assigned!, params);
    this.#assigned.diagnostics.forEach(this.report);
    return `${layers} layers${biases ? ` · ${biases} biases corrected` : ''}`;
  }

  /** Rewrites the model with the parameters and writes it to the staging folder. Gives one line about it. */
  rewrite(): string {
    const { planned, format, target } = this.prepared;
    const model = this.model;
    this.#points = pointFacts(planned, this.#stats, this.#assigned); // set by assign(), which comes first
    this.#float ??= model;
    const exposed = { model, planned, params: this.params, promised: target.u8s8 === 'exact' };
    this.saturation = saturationRisk({ ...exposed, environment: environment() });
    this.saturating = this.saturation.risk === 'none' ? [] : saturatingLayers(exposed);
    const graph = { model, planned, params: this.params, stats: this.#stats, seed: this.recipe.recipe.quantize.seed };
    const made = writeModel(format, graph, target, this.report);
    const { model: written, changes } = made;
    this.#tensors = made.tensors;
    this.#model = written;
    const stored = this.#storeRest(made);
    written.producerName = 'quantbench';
    written.producerVersion = version;
    assertValid(written);
    forgetInferred(written); // onnxruntime infers them again; in the file they only cost bytes
    saveModel(written, this.file);
    return (
      `${format.name} form, ${changes} nodes rewritten${stored ? `, ${stored} weights stored otherwise` : ''} · ` +
      `${bytesText(readdirSync(this.#staging!).reduce((n, f) => n + statSync(path.join(this.#staging!, f)).size, 0))}`
    );
  }

  /** Stores the weights that the format left in float32 as the recipe says. Gives how many. */
  #storeRest({ model, nodeOf }: Written): number {
    const { planned, format, target } = this.prepared;
    const { seed, rest: given } = this.recipe.recipe.quantize;
    const rest = restOf(this.recipe.recipe, format);
    if (!rest) return 0;
    // Nobody asked for it: what the recipe leaves out stays as it is.
    const left = [...planned.floatNodes].flatMap(([n, why]) =>
      /^(excluded|not included) by the recipe/.test(why) ? nodeOf(n) : [],
    );
    const { name: coding, options, least } = rest;
    const plan = planCoded(model, {
      coding,
      options,
      least,
      kept: new Set(given ? [] : left),
      include: [],
      exclude: [],
    });
    return plan.plan.size ? coded.rewrite({ model, planned: plan, params: new Map(), target, seed }).changes : 0;
  }

  /** The record of what was done so far. */
  record(
    shared: Pick<
      RunRecord,
      'schema' | 'quantbench' | 'startedAt' | 'durationMs' | 'outcome' | 'environment' | 'stages' | 'passes'
    > & {
      readonly float: RunRecord['model']['float'];
      readonly calibration: Omit<CalibrationFacts, 'observer'> | undefined;
      readonly diagnostics: readonly Diagnostic[];
    },
  ): RunRecord {
    const { recipe, name, file, yaml, plugins, baseDir } = this.recipe;
    const used = plugins.files.map((p) => ({ ...p, file: relativePath(baseDir, p.file) }));
    const { float, calibration, diagnostics, ...rest } = shared;
    const { kernels, ...measured } = this.measured;
    const staging = this.#staging;
    const files =
      staging === undefined
        ? []
        : readdirSync(staging).map((f) => ({
            path: f,
            bytes: statSync(path.join(staging, f)).size,
            sha256: sha256File(path.join(staging, f)),
          }));
    const quantized = files.length
      ? {
          quantized: modelFacts(
            this.model,
            'model.onnx',
            files.reduce((n, f) => n + f.bytes, 0),
            files.find((f) => f.path === 'model.onnx')?.sha256 ?? '',
            float.macs,
          ),
        }
      : {};
    return {
      ...rest,
      recipe: {
        name,
        ...(file ? { file: path.basename(file) } : {}),
        resolved: recipe,
        yaml,
        ...(used.length ? { plugins: used } : {}),
      },
      seeds: { calibration: recipe.calibration.seed, rounding: recipe.quantize.seed },
      model: { float, ...quantized },
      ...(calibration && this.observer !== undefined
        ? { calibration: { ...calibration, observer: this.observer } }
        : {}),
      points: this.#points,
      nodes: [
        ...this.#nodes.map(({ outputs: _outputs, constants: _constants, ...n }) => withKernel(n, kernels ?? [])),
        ...this.#inBodies,
      ],
      ...(this.#graph ? { graph: this.#graph } : {}),
      ...measured,
      diagnostics: [...diagnostics, ...this.diagnostics],
      files,
    };
  }

  /** Moves the model and the texts into the output folder. Throws OUTPUT_WRITE. */
  publish(record: RunRecord, rendered: Readonly<Record<string, string>>): void {
    const staging = this.#staging!; // set by stage(), before anything was made
    const texts = { ...rendered, 'run.json': `${JSON.stringify(record, null, 1)}\n` };
    for (const [name, text] of Object.entries(texts)) writeFileAtomic(path.join(staging, name), text);
    publish(staging, this.outDir, [
      ...record.files.map((f) => f.path).filter((f) => f !== 'model.onnx'),
      'model.onnx',
      ...Object.keys(texts),
    ]);
  }

  /** Takes away what is not published, and the folder where nothing was made. */
  close(): void {
    if (this.#staging !== undefined) rmSync(this.#staging, { recursive: true, force: true });
    if (this.#staging !== undefined && existsSync(this.outDir) && !readdirSync(this.outDir).length)
      rmdirSync(this.outDir);
  }
}

function withKernel(n: NodeFacts, kernels: readonly KernelOf[]): NodeFacts {
  const found = kernels.find((k) => k.name === n.name);
  return {
    ...n,
    ...(found?.kernel !== undefined ? { kernel: found.kernel } : {}),
    ...(found?.ranInteger !== undefined ? { ranInteger: found.ranInteger } : {}),
  };
}

/** Options of the observer that a point uses: the recipe gives one observer for activations and one for weights. */
function observerOptions(
  q: ResolvedRecipe['recipe']['quantize'],
  role: 'activations' | 'weights',
  observer: string,
): unknown {
  const { name, ...options } = q[role].observer;
  return name === observer ? options : {};
}
