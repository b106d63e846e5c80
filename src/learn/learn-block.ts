/** One block: codes, scales and biases of its layers move until it gives what the block of the float model gives. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { addLoss } from '../autodiff/add-loss.js';
import { addOptimiser } from '../autodiff/add-optimiser.js';
import { gradients } from '../autodiff/gradients.js';
import { field, item, named } from '../base/lists.js';
import { createRng, type Rng } from '../base/rng.js';
import { isFloat } from '../ir/dtype.js';
import type { Feed } from '../ir/feed.js';
import type { Node } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import type { Tensor } from '../ir/tensor.js';
import { inferShapes } from '../ops/infer.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { openModel } from '../runtime/open.js';
import type { QuantParams, QuantPoint } from '../scheme/types.js';
import { Trainer } from '../train/trainer.js';
import { quantizeActivations } from './activations.js';
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
  /** 1 for the weights of a layer that are zero in the float model, and stay so. */
  readonly zerosOf?: ((layer: Node) => Uint8Array | undefined) | undefined;
  /** What the block is given, and `target of` each output. */
  readonly data: readonly Shaped[];
  /** The mean square of each output, by which its squared error is divided. */
  readonly energies: ReadonlyMap<string, number>;
  readonly iterations: number;
  readonly rate: number;
  /** Probability that an element of what the block is given is that of the float model. */
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

/** Before the name of an input: what it is in the float model. */
export const FLOAT = 'float ';

interface Class {
  readonly trainer: Trainer;
  readonly shaped: Shaped;
}

/** Throws TRAIN_NON_FINITE, MODEL_RUNTIME, and what the gradient of an operator refuses. */
export async function learnBlock(o: Lesson): Promise<Lessons> {
  const plain = build(o, item(o.data, 0).shapes);
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
  const { model } = build(o, shaped.shapes);
  const parameters = [...weights.keys()];
  const gradient = gradients(model, {
    loss: 'loss',
    wrt: parameters,
    shapes: Object.fromEntries(Object.entries(shaped.shapes).filter(([name]) => !name.startsWith(FLOAT))),
    rounding: 'straight-through',
    weightsAsInputs: true,
  });
  const step = addOptimiser(gradient, { optimiser: 'adam', parameters });
  return { trainer: await Trainer.open(step, { weights, threads: o.threads }), shaped };
}

/** All steps, at a rate that falls to zero along a cosine. */
async function practise(o: Lesson, classes: readonly Class[]): Promise<ReadonlyMap<string, Tensor>> {
  const rng = createRng(o.seed, `learn/${item(o.block.layers, 0).weight.name}`);
  let last = item(classes, 0).trainer;
  let done = 0;
  while (done < o.iterations) {
    for (const { trainer, shaped } of classes) {
      if (trainer !== last) trainer.restore(last.state);
      last = trainer;
      for (const batch of shaped.batches(rng)) {
        if (done >= o.iterations) break;
        const rate = 0.5 * o.rate * (1 + Math.cos((Math.PI * done) / o.iterations));
        await trainer.step(mixed(batch, o.drop, rng), rate);
        done++;
        o.onStep();
        await nextTurn(); // steps block the thread: signals and drawing get their turn here
      }
    }
  }
  return last.weights;
}

/** Of what the block is given, each element is that of the float model with a probability. */
function mixed(batch: Feed, drop: number, rng: Rng): Feed {
  if (!drop) return batch;
  const made = { ...batch };
  for (const [name, float] of Object.entries(batch)) {
    const now = name.startsWith(FLOAT) ? batch[name.slice(FLOAT.length)] : undefined;
    if (!(now?.data instanceof Float32Array) || !(float.data instanceof Float32Array)) continue;
    const data = now.data.slice();
    for (let i = 0; i < data.length; i++) if (rng.next() < drop) data[i] = item(float.data, i);
    made[name.slice(FLOAT.length)] = { ...now, data };
  }
  return made;
}

/** The block with its weights as functions of parameters, and the loss. */
function build(
  o: Lesson,
  shapes: Readonly<Record<string, readonly number[]>>,
): { readonly model: Model; readonly students: readonly Student[] } {
  const part = partOf(o.model, o.block);
  const { model } = part;
  inferShapes(model, new Map(Object.entries(shapes)));
  const b = new GraphBuilder(model);
  quantizeActivations(b, o.activations, part.find);
  const students = o.block.layers.map((layer) => {
    const own = { weight: part.valueOf(layer.weight), bias: layer.bias && part.valueOf(layer.bias) };
    return addStudent(b, layer, own, named(o.params, layer.weight), o.learnable, o.zerosOf?.(layer.node));
  });
  const terms = model.graph.outputs
    .filter((v) => v.dtype === undefined || isFloat(v.dtype))
    .map((v) => ({ loss: 'mse', of: v.name, weight: 1 / Math.max(o.energies.get(v.name) ?? 1, Number.MIN_VALUE) }));
  return { model: addLoss(model, terms), students };
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
