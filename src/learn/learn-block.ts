/** One block: codes, scales and biases of its layers move until it gives what the block of the float model gives. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { addLoss } from '../autodiff/add-loss.js';
import { addOptimiser } from '../autodiff/add-optimiser.js';
import { gradients } from '../autodiff/gradients.js';
import { field, item, named } from '../base/lists.js';
import { createRng, type Rng } from '../base/rng.js';
import { isFloat } from '../ir/dtype.js';
import type { Feed, FeedTensor } from '../ir/feed.js';
import type { Node } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import type { Tensor } from '../ir/tensor.js';
import { inferShapes } from '../ops/infer.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { openModel } from '../runtime/open.js';
import type { QuantParams, QuantPoint } from '../scheme/types.js';
import { Trainer } from '../train/trainer.js';
import { quantizeActivations, type Draw } from './activations.js';
import type { Block } from './blocks.js';
import { partOf } from './part.js';
import type { Shaped } from './samples.js';
import { addStudent, type Learnable, type Learned, type Student } from './weights.js';

export interface Lesson {
  /** With the weights that were chosen so far. */
  readonly model: Model;
  readonly block: Block;
  readonly activations: ReadonlyMap<QuantPoint, QuantParams>;
  readonly params: ReadonlyMap<QuantPoint, QuantParams>;
  readonly learnable: Learnable;
  /** What the block is given, and `target of` each output. */
  readonly data: readonly Shaped[];
  /** The mean square of each output, by which its squared error is divided. */
  readonly energies: ReadonlyMap<string, number>;
  readonly iterations: number;
  readonly rate: number;
  /** Probability that an element of an activation is left unquantized. */
  readonly drop: number;
  readonly seed: number;
  readonly threads: number;
  readonly onStep: () => void;
}

/** What was learned, if the block is better for it. */
export interface Lessons {
  readonly learned: ReadonlyMap<Node, Learned> | undefined;
  /** The error of the block before and after, relative to the energy of what it gives. */
  readonly before: number;
  readonly after: number;
}

interface Class {
  readonly trainer: Trainer;
  readonly shaped: Shaped;
  readonly draws: readonly Draw[];
}

/** Throws TRAIN_NON_FINITE, MODEL_RUNTIME, and what the gradient of an operator refuses. */
export async function learnBlock(o: Lesson): Promise<Lessons> {
  const plain = build(o, item(o.data, 0).shapes, 0);
  const parameters = new Map(plain.students.flatMap((s) => [...s.parameters]));
  const before = await errorOf(o, plain.model, parameters);
  if (!parameters.size || !o.iterations) return { learned: undefined, before, after: before };
  const classes: Class[] = [];
  let weights: ReadonlyMap<string, Tensor>;
  try {
    for (const shaped of o.data) classes.push(await openClass(o, shaped, parameters));
    weights = await practise(o, classes);
  } finally {
    for (const { trainer } of classes) await trainer.close();
  }
  const after = await errorOf(o, plain.model, weights);
  const learned = after < before ? new Map(plain.students.map((s) => [s.layer.node, s.read(weights)])) : undefined;
  return { learned, before, after: learned ? after : before };
}

async function openClass(o: Lesson, shaped: Shaped, weights: ReadonlyMap<string, Tensor>): Promise<Class> {
  const { model, draws } = build(o, shaped.shapes, o.drop);
  const parameters = [...weights.keys()];
  const gradient = gradients(model, {
    loss: 'loss',
    wrt: parameters,
    shapes: { ...shaped.shapes, ...Object.fromEntries(draws.map((d) => [d.name, d.shape])) },
    rounding: 'straight-through',
    weightsAsInputs: true,
  });
  const kappa = Number(process.env['KAPPA'] ?? 0);
  const epsilon = kappa && o.learnable.codes ? kappa * (await gradientSize(o, gradient, shaped, draws, weights)) : 1e-8;
  const step = addOptimiser(gradient, { optimiser: 'adam', parameters, options: { epsilon } });
  return { trainer: await Trainer.open(step, { weights, threads: o.threads }), shaped, draws };
}

/** The root of the mean square of the gradient by codes, over one batch. */
async function gradientSize(
  o: Lesson,
  model: Model,
  shaped: Shaped,
  draws: readonly Draw[],
  weights: ReadonlyMap<string, Tensor>,
): Promise<number> {
  const session = await openModel(model, {
    threads: o.threads,
    spinning: false,
    memoryPattern: false,
    label: 'a block',
  });
  try {
    const own = Object.fromEntries(
      [...weights].map(([name, t]): [string, FeedTensor] => [name, { dtype: t.dtype, dims: t.dims, data: t.f32() }]),
    );
    const [batch] = shaped.batches(createRng(o.seed, 'learn/size'));
    const made = await session.run({ ...own, ...batch, ...drawn(draws, createRng(o.seed, 'learn/size')) });
    let [sum, count] = [0, 0];
    for (const [name, { data }] of Object.entries(made)) {
      if (!name.startsWith('gradient of codes of') || !(data instanceof Float32Array)) continue;
      for (const v of data) sum += v * v;
      count += data.length;
    }
    return Math.sqrt(sum / Math.max(1, count));
  } finally {
    await session.close();
  }
}

/** All steps, at a rate that falls to zero along a cosine. */
async function practise(o: Lesson, classes: readonly Class[]): Promise<ReadonlyMap<string, Tensor>> {
  const rng = createRng(o.seed, `learn/${item(o.block.layers, 0).weight.name}`);
  let last = item(classes, 0).trainer;
  let done = 0;
  while (done < o.iterations) {
    for (const { trainer, shaped, draws } of classes) {
      if (trainer !== last) trainer.restore(last.state);
      last = trainer;
      for (const batch of shaped.batches(rng)) {
        if (done >= o.iterations) break;
        const rate = 0.5 * o.rate * (1 + Math.cos((Math.PI * done) / o.iterations));
        await trainer.step({ ...batch, ...drawn(draws, rng) }, rate);
        done++;
        o.onStep();
        await nextTurn(); // steps block the thread: signals and drawing get their turn here
      }
    }
  }
  return last.weights;
}

function drawn(draws: readonly Draw[], rng: Rng): Feed {
  const numbers = ({ name, shape }: Draw): [string, FeedTensor] => {
    const data = new Float32Array(shape.reduce((n, d) => n * d, 1));
    for (let i = 0; i < data.length; i++) data[i] = rng.next();
    return [name, { dtype: 'float32', dims: shape, data }];
  };
  return Object.fromEntries(draws.map(numbers));
}

/** The block with its weights as functions of parameters, and the loss. */
function build(
  o: Lesson,
  shapes: Readonly<Record<string, readonly number[]>>,
  drop: number,
): { readonly model: Model; readonly students: readonly Student[]; readonly draws: readonly Draw[] } {
  const part = partOf(o.model, o.block);
  const { model } = part;
  inferShapes(model, new Map(Object.entries(shapes)));
  const b = new GraphBuilder(model);
  const draws = quantizeActivations(b, o.activations, part.find, drop);
  const students = o.block.layers.map((layer) => {
    const own = { weight: part.valueOf(layer.weight), bias: layer.bias && part.valueOf(layer.bias) };
    return addStudent(b, layer, own, named(o.params, layer.weight), o.learnable);
  });
  const terms = model.graph.outputs
    .filter((v) => v.dtype === undefined || isFloat(v.dtype))
    .map((v) => ({ loss: 'mse', of: v.name, weight: 1 / Math.max(o.energies.get(v.name) ?? 1, Number.MIN_VALUE) }));
  return { model: addLoss(model, terms), students, draws };
}

/** The mean loss over all batches with given parameters. */
async function errorOf(o: Lesson, model: Model, weights: ReadonlyMap<string, Tensor>): Promise<number> {
  for (const v of model.graph.initializers) v.data = weights.get(v.name) ?? v.data;
  let [sum, count] = [0, 0];
  const session = await openModel(model, { threads: o.threads, spinning: false, label: 'a block' });
  try {
    for (const shaped of o.data)
      for (const batch of shaped.batches()) {
        sum += Number(field(await session.run(batch, ['loss']), 'loss').data[0]);
        count++;
        await nextTurn();
      }
  } finally {
    await session.close();
  }
  return sum / Math.max(1, count);
}
