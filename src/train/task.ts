/** From a model and what it shall learn to a step of training. */
import { addLoss, type LossTerm } from '../autodiff/add-loss.js';
import { addOptimiser, type TrainingStep } from '../autodiff/add-optimiser.js';
import { gradients } from '../autodiff/gradients.js';
import { fail } from '../base/errors.js';
import { ancestors } from '../ir/ancestors.js';
import type { Model } from '../ir/model.js';
import type { Tensor } from '../ir/tensor.js';
import { parametersOf, withoutDecay } from './parameters.js';

export interface TaskOptions {
  /** What is learned, and whatever else the loss reads, such as a teacher. */
  readonly model: Model;
  /** Its own weights are learned. Default: `model`. */
  readonly learner?: Model;
  /** Further initializers of `model` that are learned and are no part of the learner, such as adapters. */
  readonly more?: readonly string[];
  readonly terms: readonly LossTerm[];
  readonly batch: number;
  /** Parts of a batch that are computed at once, each as many of its samples. Default: 1. */
  readonly workers?: number;
  /** Of inputs, where more than the axis of the batch is open. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  readonly optimiser: { readonly name: string; readonly options?: Readonly<Record<string, unknown>> };
  readonly clipNorm?: number | undefined;
  readonly accumulate?: number;
  readonly batchNorm?: 'batch' | 'frozen';
  /** Names or patterns of weights that stay. */
  readonly freeze?: readonly string[];
  readonly rounding?: 'zero' | 'straight-through';
  /** What is learned, by name. Default: all that parametersOf() finds in the learner, but for what `freeze` names. */
  readonly parameters?: readonly string[];
  /** Those of them that weight decay leaves alone, beside biases and factors of normalisations. */
  readonly undecayed?: readonly string[];
  /** Values that count as constants: see GradientOptions. */
  readonly constants?: readonly string[];
}
export interface Task {
  readonly step: TrainingStep;
  /** Values of all initializers of the model: those that are learned, and running statistics, are among them. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** What is learned. */
  readonly parameters: readonly string[];
  /** The model with its loss. */
  readonly withLoss: Model;
}

/** Throws what addLoss(), gradients() and parametersOf() throw, before anything runs. */
export function taskOf(o: TaskOptions): Task {
  const learner = o.learner ?? o.model;
  const withLoss = addLoss(o.model, o.terms);
  const reached = namesBehind(withLoss, 'loss');
  // What the loss does not depend on stays as it is: what follows the tensors that are compared, or another output.
  const wanted = [...(o.parameters ?? parametersOf(learner, o.freeze)), ...(o.more ?? [])];
  const parameters = wanted.filter((name) => reached.has(name));
  if (!parameters.length)
    fail('GRADIENT_INVALID', 'the loss depends on none of the weights that could be learned', {}, 'name another `of`');
  const backward = gradients(withLoss, {
    loss: 'loss',
    wrt: parameters,
    batch: o.batch / (o.workers ?? 1),
    ...(o.shapes ? { shapes: o.shapes } : {}),
    weightsAsInputs: true,
    batchNorm: o.batchNorm ?? 'batch',
    rounding: o.rounding ?? 'zero',
    constants: o.constants ?? [],
  });
  const step = addOptimiser(backward, {
    optimiser: o.optimiser.name,
    ...(o.optimiser.options ? { options: o.optimiser.options } : {}),
    parameters,
    apart: (o.workers ?? 1) > 1,
    withoutDecay: [...withoutDecay(o.model, parameters), ...(o.undecayed ?? [])],
    ...(o.clipNorm === undefined ? {} : { clipNorm: o.clipNorm }),
    ...(o.accumulate === undefined ? {} : { accumulate: o.accumulate }),
  });
  const weights = new Map([...o.model.graph.initializers].flatMap((v) => (v.data ? [[v.name, v.data]] : [])));
  return { step, weights, parameters, withLoss };
}

/** Names of what an output is computed from. */
function namesBehind({ graph }: Model, name: string): ReadonlySet<string> {
  const nodes = graph.outputs.filter((v) => v.name === name).flatMap((v) => [...ancestors(v)]);
  return new Set(nodes.flatMap((n) => [...n.inputs, ...n.captures()]).flatMap((v) => (v ? [v.name] : [])));
}
