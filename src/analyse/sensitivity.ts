/** How much each layer costs on its own: one layer quantized at a time, all others in float. */
import { item, named } from '../base/lists.js';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fail, QuantError } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import { rowsOf, takesAnyBatch } from '../calibrate/rows.js';
import type { Format, FormatInput } from '../formats/types.js';
import { writeModel } from '../formats/write.js';
import type { Batch } from '../data/batch.js';
import type { Node } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { uniqueLabels } from '../ir/labels.js';
import { specOf } from '../ops/index.js';
import type { Planned } from '../scheme/quantized.js';
import type { Sensitivity } from '../record/index.js';
import { openModel } from '../runtime/open.js';
import type { QuantParams, QuantPlan, QuantPoint } from '../scheme/types.js';
import { Distance, keepOutputs, yardstickOf, type Kept, type ScoreMeasure, type Yardstick } from './divergence.js';
import { repeatable, type Batches } from './samples.js';

export interface SensitivityOptions {
  /** The float model that `planned` and `params` speak of. It is not changed. */
  readonly model: Model;
  readonly planned: Planned;
  readonly params: ReadonlyMap<QuantPoint, QuantParams>;
  readonly format: Format;
  readonly target: FormatInput['target'];
  /** Seed of stochastic rounding. Default 0. */
  readonly seed?: number;
  /** A fresh pass over samples in an order that mixes classes. */
  readonly batches: Batches;
  /** How many samples to use. Default 64. */
  readonly samples?: number;
  /**
   * What to rank by where outputs are class scores. Default kl; loss falls back to it where the samples have no labels.
   */
  readonly measure?: ScoreMeasure;
  /** Multiply-accumulates by node name, for the table. */
  readonly macs?: ReadonlyMap<string, number>;
  readonly threads?: number;
  /** Gets `progress` of stage `sensitivity` after each layer, and diagnostics. */
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Layers by how far the outputs move when only that layer is quantized, most sensitive first.
 *
 * A layer is a product (Conv, MatMul, Gemm, …; with format `dynamic` an embedding table too) that the plan quantizes:
 * its activations, weight, bias and result, with a fused clamp, get the parameters of the plan and are written in the
 * format of the plan, so that the kernel is the one that would run. One session a layer, one copy of the weights. The
 * measure is the mean KL divergence of the softmaxed class scores from float, as in ZeroQ
 * (https://arxiv.org/abs/2001.00281), which tells layers apart on samples whose answers do not flip; or, with labels,
 * by how much the cross-entropy rises, which ranks what layers cost in accuracy better (layers that change many
 * answers, for better and worse alike, come lower). Without class scores it is the relative squared error of the
 * outputs.
 *
 * Layers that onnxruntime cannot run alone are left out with a diagnostic SENSITIVITY_SKIPPED. Outputs with NaN or
 * infinity where float has none score 1e6. Throws DATA_MISSING without a sample, QUANTIZE_NOTHING without a layer,
 * MODEL_RUNTIME where the float model does not run, what reading data throws, and the signal's reason.
 */
export async function measureSensitivity(o: SensitivityOptions): Promise<Sensitivity> {
  const started = performance.now();
  const layers = layersOf(o.model, o.planned);
  if (!layers.length)
    fail(
      'QUANTIZE_NOTHING',
      'the plan quantizes no layer, so none can be ranked',
      {},
      'see quantize.include and quantize.exclude',
    );
  const names = uniqueLabels(o.model.graph.topological());
  const shrink = takesAnyBatch(o.model);
  const batches = repeatable(o.batches, o.samples ?? 64, { shrink, signal: o.signal });
  const float = await floatOutputs(o, batches);
  const scores: { node: Node; score: number }[] = [];
  for (const [i, node] of layers.entries()) {
    const score = await scoreOf(o, node, batches, float, named(names, node)); // layers are nodes of the graph
    if (score !== undefined) scores.push({ node, score });
    o.onEvent?.({
      type: 'progress',
      stage: 'sensitivity',
      done: i + 1,
      total: layers.length,
      note: named(names, node),
    });
  }
  if (!scores.length) fail('MODEL_RUNTIME', 'onnxruntime ran none of the layers alone', {}, 'the diagnostics tell why');
  const sum = scores.reduce((n, s) => n + Math.max(0, s.score), 0);
  return {
    samples: float.samples,
    measure: float.yardstick.measure,
    ms: performance.now() - started,
    layers: scores
      .sort((a, b) => b.score - a.score)
      .map(({ node, score }) => {
        const name = named(names, node);
        return {
          node: name,
          op: node.op,
          macs: o.macs?.get(name) ?? 0,
          score,
          share: sum > 0 ? Math.max(0, score) / sum : 0,
        };
      }),
  };
}

/** The products that a plan quantizes, in order. */
function layersOf(model: Model, planned: Planned): Node[] {
  return model.graph
    .topological()
    .filter((n) => planned.weightOnlyNodes.has(n) || (planned.integerNodes.has(n) && isLayer(n, planned)));
}
/** Products; and tables that are looked up, whose codes come from a plan point of their own. */
function isLayer(n: Node, planned: Planned): boolean {
  const role = specOf(n)?.quant.role;
  if (role === 'compute') return true;
  const data = n.inputs[0];
  return role === 'passthrough' && data?.isInitializer === true && planned.plan.get(data)?.kind === 'observed';
}

/** A copy of the model in which only `node` is quantized. Shares the tensors of the model. */
export function quantizeOne(
  o: Pick<SensitivityOptions, 'model' | 'planned' | 'params' | 'format' | 'target' | 'seed'>,
  node: Node,
): Model {
  const { planned, model } = o;
  const clamp = planned.fusedClamps.get(node);
  const points: readonly (QuantPoint | null | undefined)[] = [
    ...node.inputs.flatMap((v, i) => [node.use(i), v]),
    ...(clamp ?? node).outputs,
  ];
  const weightOnly = planned.weightOnlyNodes.has(node);
  const alone: Planned = {
    plan: codedPoints(planned, node),
    integerNodes: new Set(weightOnly ? [] : clamp ? [node, clamp] : [node]),
    weightOnlyNodes: new Set(weightOnly ? [node] : []),
    fusedClamps: clamp ? new Map([[node, clamp]]) : new Map(),
    floatNodes: new Map(),
    ...(planned.weightOnly ? { weightOnly: planned.weightOnly } : {}),
  };
  const params = new Map(
    points.flatMap((p) => {
      const found = p && o.params.get(p);
      return p && found ? [[p, found] as const] : [];
    }),
  );
  return writeModel(o.format, { model, planned: alone, params, seed: o.seed ?? 0 }, o.target).model;
}

/** Weights of the node that are coded. */
const codedPoints = ({ plan }: Planned, node: Node): QuantPlan =>
  new Map(
    node.inputs.flatMap((v) => {
      const spec = v ? plan.get(v) : undefined;
      return v && spec?.kind === 'coded' ? [[v, spec] as const] : [];
    }),
  );

function measureFor(o: SensitivityOptions, { samples }: Batch): ScoreMeasure {
  if (o.measure !== 'loss' || samples[0]?.label !== undefined) return o.measure ?? 'kl';
  o.onEvent?.({
    type: 'diagnostic',
    diagnostic: {
      severity: 'warning',
      code: 'SENSITIVITY_NO_LABELS',
      message: 'the samples have no labels to rank layers by the loss: the KL divergence is used instead',
      hint: 'give labelled calibration data, or measure: kl',
    },
  });
  return 'kl';
}

/** The label of each row of one feed. */
const labelsOf = (batch: Batch, k: number): (number | undefined)[] =>
  batch.rows.flatMap((r) => Array.from({ length: r.length[k] ?? 0 }, () => r.sample.label));

interface FloatOutputs {
  readonly samples: number;
  readonly yardstick: Yardstick;
  /** One entry a run, in order. */ readonly runs: readonly ReadonlyMap<string, Kept>[];
}

async function floatOutputs(o: SensitivityOptions, batches: Batches): Promise<FloatOutputs> {
  const session = await openModel(o.model, { threads: o.threads ?? 1, label: 'the float model' });
  const runs: ReadonlyMap<string, Kept>[] = [];
  let yardstick: Yardstick | undefined;
  let samples = 0;
  try {
    for await (const batch of batches()) {
      samples += batch.samples.length;
      const runsExpected = Math.ceil((o.samples ?? 64) / batch.samples.length) * batch.feeds.length;
      for (let k = 0; k < batch.feeds.length; k++) {
        const outputs = await session.run(item(batch.feeds, k));
        yardstick ??= yardstickOf(session.outputs, batch.feeds.length, outputs, measureFor(o, batch));
        runs.push(keepOutputs(outputs, yardstick, rowsOf(batch, k), runsExpected));
      }
      await nextTurn(); // runs block the thread: signals and drawing get their turn here
    }
  } finally {
    await session.close();
  }
  return { samples, yardstick: yardstick!, runs }; // batches() throws where there is no sample
}

/** Undefined where onnxruntime cannot run the layer alone. */
async function scoreOf(
  o: SensitivityOptions,
  node: Node,
  batches: Batches,
  float: FloatOutputs,
  name: string,
): Promise<number | undefined> {
  const distance = new Distance(float.yardstick);
  let run = 0;
  try {
    const session = await openModel(quantizeOne(o, node), {
      threads: o.threads ?? 1,
      label: `the model with only '${name}' quantized`,
    });
    try {
      for await (const batch of batches()) {
        for (let k = 0; k < batch.feeds.length; k++)
          distance.add(
            await session.run(item(batch.feeds, k), [...float.yardstick.outputs]),
            item(float.runs, run++),
            rowsOf(batch, k),
            labelsOf(batch, k),
          ); // the same batches as before
        await nextTurn();
      }
    } finally {
      await session.close();
    }
  } catch (error) {
    if (!(error instanceof QuantError) || error.code !== 'MODEL_RUNTIME') throw error;
    o.onEvent?.({
      type: 'diagnostic',
      diagnostic: {
        severity: 'warning',
        code: 'SENSITIVITY_SKIPPED',
        message: `'${name}' was left out of the sensitivity analysis: ${error.message}`,
        where: { node: name },
      },
    });
    return undefined;
  }
  return distance.score();
}
