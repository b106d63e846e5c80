/** Gradients of a loss on calibration samples, one batch after the other, by values or weights of a model. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { addLoss } from '../autodiff/add-loss.js';
import { gradients } from '../autodiff/gradients.js';
import { numberLike, sumOfAll } from '../autodiff/losses/build.js';
import { valuesOf } from '../autodiff/prepare.js';
import { fail } from '../base/errors.js';
import { field, item } from '../base/lists.js';
import { createRng, type Rng } from '../base/rng.js';
import { cloneModel } from '../ir/clone.js';
import { isFloat } from '../ir/dtype.js';
import type { Feed, FeedTensor } from '../ir/feed.js';
import type { Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { elementCount } from '../ir/tensor.js';
import { forgetInferred, inferShapes } from '../ops/infer.js';
import { isSoftmax } from '../ops/kinds.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { isStatic } from '../rewrite/facts.js';
import { openModel } from '../runtime/open.js';
import type { Session } from '../runtime/session.js';
import type { ImportanceContext } from './importance/types.js';
import { onlyOutputs, type Seen } from './seen.js';

/** labels: cross-entropy · outputs: any change of what the model gives · auto: labels where there are some. */
export type By = 'auto' | 'labels' | 'outputs';

export interface GradientPass extends Pick<ImportanceContext, 'threads' | 'seed' | 'signal'> {
  readonly model: Model;
  /** What is differentiated by, by name. */
  readonly wrt: readonly string[];
  readonly by: By;
  readonly samples: AsyncIterable<Seen>;
  /** What is returned of value i and its gradient. */
  readonly tap: (b: GraphBuilder, i: number, value: Value, gradient: Value) => Value;
  readonly visit: (i: number, made: FeedTensor, seen: Seen) => void;
}

/**
 * Runs the gradient model over samples. With labels the loss is the mean cross-entropy of a batch. Without, it is
 * Σ r · y over the outputs, with signs r drawn by the seed: a loss towards the model's own outputs has no gradient
 * where they are, but the mean square of this gradient is the diagonal of its second derivative (Gauss-Newton): how
 * much ½ ‖y − y₀‖² grows. source: Bekas et al. 2007, https://doi.org/10.1016/j.apnum.2007.01.003 (Hutchinson's estimator)
 */
export async function eachGradient(o: GradientPass): Promise<void> {
  const rng = createRng(o.seed, 'importance signs');
  const open = new Map<string, Opened>();
  try {
    for await (const seen of o.samples) {
      const labels = labelsFor(o, seen);
      if (o.by === 'labels' && !labels)
        fail(
          'DATA_MISSING',
          'importance by labels: the calibration data have none',
          {},
          'by: outputs needs none; or name data with a class for each sample',
        );
      const key = `${labels ? 'labels' : 'outputs'} ${Object.entries(seen.feed)
        .map(([name, t]) => `${name}:${t.dims.join()}`)
        .join(' ')}`;
      let at = open.get(key);
      if (!at) {
        at = await opened(o, seen, labels !== undefined);
        if (open.size >= KEPT) await forgetFirst(open);
        open.set(key, at);
      }
      const made = await at.session.run(inputsOf(at, seen, labels, rng));
      at.names.forEach((name, i) => {
        o.visit(i, field(made, name), seen);
      });
      await nextTurn(); // runs block the thread: signals and drawing get their turn here
      o.signal?.throwIfAborted();
    }
  } finally {
    for (const { session } of open.values()) await session.close();
  }
}
function labelsFor({ model, by }: GradientPass, { labels }: Seen): readonly number[] | undefined {
  if (by === 'outputs' || !labels) return undefined;
  const classes = scoresOf(model)?.shape?.[1];
  const fits = typeof classes === 'number' && classes > 1 && labels.every((c) => c < classes);
  return by === 'labels' || fits ? labels : undefined;
}
/** Sessions that stay open for batches of other shapes. */
const KEPT = 4;
async function forgetFirst(open: Map<string, Opened>): Promise<void> {
  const [first] = open;
  if (!first) return;
  open.delete(first[0]);
  await first[1].session.close();
}

interface Opened {
  readonly session: Session;
  readonly inputs: ReadonlySet<string>;
  /** Signs that are drawn for each call. */
  readonly signs: ReadonlyMap<string, readonly number[]>;
  readonly names: readonly string[];
}
const LABELS = 'labels of samples';

async function opened(o: GradientPass, { feed, labels }: Seen, byLabels: boolean): Promise<Opened> {
  const { model } = cloneModel(o.model);
  const dims = new Map(Object.entries(feed).map(([name, t]) => [name, t.dims]));
  forgetInferred(model);
  for (const v of model.graph.outputs) if (v.producer) v.shape = undefined;
  inferShapes(model, dims);
  const shapes: Record<string, readonly number[]> = {};
  for (const v of model.graph.inputs) {
    const known = dims.get(v.name);
    if (known) shapes[v.name] = known;
  }
  const signs = new Map<string, readonly number[]>();
  const withLoss = byLabels ? byClass(model) : bySigns(model, signs);
  if (byLabels) shapes[LABELS] = [labels?.length ?? 1];
  for (const [name, size] of signs) shapes[name] = size;
  const whole = gradients(withLoss, { loss: 'loss', wrt: o.wrt, shapes });
  const b = new GraphBuilder(whole);
  const values = valuesOf(whole);
  const found = (name: string): Value =>
    values.get(name) ?? fail('GRADIENT_UNKNOWN_NAME', `'${name}' is no tensor of the model`, { tensor: name });
  const names = o.wrt.map((name, i) => {
    const tapped = o.tap(b, i, found(name), item(whole.graph.outputs, whole.graph.outputs.length - o.wrt.length + i));
    tapped.dtype = 'float32';
    return tapped.name;
  });
  onlyOutputs(whole, names);
  const session = await openModel(whole, { threads: o.threads, spinning: false, label: 'the gradients of the model' });
  return { session, inputs: new Set(whole.graph.inputs.map((v) => v.name)), signs, names };
}

/** Scores of classes: what a Softmax at the end reads, else what the model gives. */
function scoresOf({ graph }: Model): Value | undefined {
  const [y] = graph.outputs;
  const end = y?.producer;
  const scores = end && isSoftmax(end) ? end.inputs[0] : y;
  return scores?.shape?.length === 2 ? scores : undefined;
}
function byClass(model: Model): Model {
  const scores =
    scoresOf(model) ??
    fail(
      'MODEL_UNSUPPORTED',
      `importance by labels: the first output has shape [${model.graph.outputs[0]?.shape?.join(', ') ?? 'unknown'}]`,
      {},
      'scores of classes have shape [samples, classes]; by: outputs takes any',
    );
  return addLoss(model, [{ loss: 'cross-entropy', of: scores.name, target: LABELS }]);
}

function bySigns(model: Model, signs: Map<string, readonly number[]>): Model {
  const b = new GraphBuilder(model);
  const terms = model.graph.outputs.flatMap((y) => {
    if (!y.dtype || !isFloat(y.dtype) || !isStatic(y.shape)) return [];
    const r = b.input(b.freeName(`signs of ${y.name}`), y.dtype, y.shape);
    signs.set(r.name, y.shape);
    const drawn = sumOfAll(b, b.op('Mul', [y, r], { name: 'signed' }));
    const each = Math.max(1, elementCount(y.shape.slice(1)));
    return b.op('Mul', [drawn, numberLike(b, y, 1 / Math.sqrt(each))], { name: 'signed' });
  });
  if (!terms.length) fail('MODEL_UNSUPPORTED', 'importance by outputs: the model gives no float tensor of known sizes');
  b.freeName('loss');
  model.graph.addOutput(b.op('Sum', terms, { name: 'loss', outputs: ['loss'] }));
  return model;
}

function inputsOf({ inputs, signs }: Opened, { feed }: Seen, labels: readonly number[] | undefined, rng: Rng): Feed {
  const made: Record<string, FeedTensor> = {};
  for (const [name, t] of Object.entries(feed)) if (inputs.has(name)) made[name] = t;
  if (labels && inputs.has(LABELS))
    made[LABELS] = { dtype: 'int64', dims: [labels.length], data: BigInt64Array.from(labels, BigInt) };
  for (const [name, dims] of signs)
    made[name] = {
      dtype: 'float32',
      dims,
      data: Float32Array.from({ length: elementCount(dims) }, () => (rng.int(2) ? 1 : -1)),
    };
  return made;
}
