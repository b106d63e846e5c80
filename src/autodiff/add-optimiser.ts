import { fail } from '../base/errors.js';
import { item, named } from '../base/lists.js';
import { cloneModel } from '../ir/clone.js';
import { dtypeCode } from '../ir/dtype.js';
import { encodeTensor } from '../ir/encode.js';
import { Graph, type Value } from '../ir/graph.js';
import { createModel, type Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { checkedOptions, partOf } from './options.js';
import { RULES_OPSET } from './prepare.js';
import { optimisers } from './optimisers/index.js';

export interface OptimiserOptions {
  /** Name of an optimiser: sgd, adam, adamw, lamb, muon or sign-sgd. */
  readonly optimiser: string;
  /** Options of the optimiser by key; see its schema. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** Weights that are changed: inputs of the model, which also returns `gradient of` each. */
  readonly parameters: readonly string[];
  /** Those of them that weight decay leaves alone. */
  readonly withoutDecay?: readonly string[];
  /** Gradients are scaled so that their norm over all weights is at most this. */
  readonly clipNorm?: number;
  /** The step is taken by the mean gradient of so many batches, one run of the model each. Default: 1. */
  readonly accumulate?: number;
  /**
   * The step is a model of its own, which is fed `gradient of` each weight: for those that compute parts of a batch.
   */
  readonly apart?: boolean;
}

/** A training step, and the names of what goes round: the value of each output is the next step's input. */
export interface TrainingStep {
  readonly model: Model;
  readonly loop: readonly {
    readonly input: string;
    readonly output: string;
    readonly shape: readonly number[];
    /** A weight, or something that the optimiser keeps for one, which starts at zero. */
    readonly kind: 'weight' | 'state';
  }[];
  /** Batches of a step: the model has the input `take step`, true for the last of them. Default: 1. */
  readonly accumulate?: number;
  /** Where gradients are apart: the model that gives them. */
  readonly backward?: Model;
}

/**
 * A gradient model, made with `weightsAsInputs`, that also takes the step. New scalar float inputs: `learning rate`,
 * and `step`, which counts from 1; for each weight W and each tensor that the optimiser keeps for it, such as
 * momentum, an input `momentum of W` of the shape of W, zeros at first. Outputs `new W` and `new momentum of W` take
 * the place of `gradient of W`. With `clipNorm`, `gradient norm` is an output too. With `accumulate`, `gradients of W`
 * sums up what batches give, and weights change where the input `take step` (bool) is true. The model given stays as
 * it is.
 *
 * Throws RECIPE_UNKNOWN_NAME for an unknown optimiser, RECIPE_INVALID for its options, GRADIENT_UNKNOWN_NAME for a
 * weight that is no input or has no gradient.
 */
export function addOptimiser(given: Model, options: OptimiserOptions): TrainingStep {
  const optimiser = partOf(optimisers, options.optimiser, 'optimiser');
  const settings = checkedOptions(optimiser.options, options.options, `optimiser '${optimiser.name}'`);
  const model = options.apart ? stepAlone(given, options.parameters) : cloneModel(given).model;
  const { graph } = model;
  const b = new GraphBuilder(model);
  const weights = options.parameters.map((name) => ({ name, ...weightOf(graph, name) }));
  for (const { gradient } of weights)
    for (const i of [...graph.outputIndices(gradient)].reverse()) graph.removeOutput(i);
  const { accumulate = 1 } = options;
  if (!Number.isInteger(accumulate) || accumulate < 1)
    fail('RECIPE_INVALID', `a step of ${accumulate} batches`, {}, 'accumulate is a whole number from 1');
  const sums = accumulate > 1 ? new GradientSums(b, accumulate) : undefined;
  const gradients = weights.map((w) => sums?.total(w) ?? w.gradient);
  const factor = options.clipNorm === undefined ? undefined : clipped(b, gradients, options.clipNorm);
  const [rate, step] = ['learning rate', 'step'].map((name) => b.input(name, 'float32', []));
  const loop: TrainingStep['loop'][number][] = [];
  const give = (kind: 'weight' | 'state', from: Value, made: Value, shape: readonly number[], summed = false): void => {
    const output = `new ${from.name}`;
    const value = sums && !summed ? sums.whenTaken(made, from) : made;
    value.name = output;
    value.shape = shape;
    graph.addOutput(value);
    loop.push({ input: from.name, output, shape, kind });
  };
  weights.forEach(({ name, parameter, shape }, at) => {
    const gradient = item(gradients, at);
    const dtype = parameter.dtype ?? 'float32';
    const cast = (v: Value): Value =>
      v.dtype === dtype ? v : b.op('Cast', [v], { attrs: { to: dtypeCode(dtype) }, name: 'step_cast' });
    const add = (op: string, ...inputs: readonly Value[]): Value => b.op(op, inputs, { name: `step of ${name}` });
    const state = optimiser.state(settings, shape).map((s) => b.input(`${s} of ${name}`, dtype, shape));
    const made = optimiser.step(
      {
        parameter,
        shape,
        gradient: factor ? add('Mul', gradient, cast(factor)) : gradient,
        state,
        rate: cast(rate!), // two were made
        step: cast(step!),
        decays: !options.withoutDecay?.includes(name),
        add,
        number: (value) => b.constant(encodeTensor(dtype, [], [value]), 'step_constant'),
        reshape: (x, to) => add('Reshape', x, b.constant(Tensor.i64(to), 'step_shape')),
      },
      settings,
    );
    give('weight', parameter, made.parameter, shape);
    state.forEach((s, i) => {
      const next = made.state[i];
      if (next) give('state', s, next, shape);
    });
    if (sums) {
      const { before, after } = sums.of(name);
      give('state', before, after, shape, true);
    }
  });
  graph.removeInputs(new Set(graph.inputs.filter((v) => v === step && v.uses.size === 0)));
  return { model, loop, ...(sums ? { accumulate } : {}), ...(options.apart ? { backward: given } : {}) };
}

/** A model that is given weights and gradients, and returns these. */
function stepAlone(given: Model, parameters: readonly string[]): Model {
  const model = createModel(new Graph(), given.opsets.get('') ?? RULES_OPSET, given.irVersion);
  const b = new GraphBuilder(model);
  for (const name of parameters) {
    const { parameter, gradient, shape } = weightOf(given.graph, name);
    b.input(name, parameter.dtype ?? 'float32', shape);
    model.graph.addOutput(b.input(gradient.name, parameter.dtype ?? 'float32', shape));
  }
  return model;
}

/** The mean gradient of several batches, which goes round until the step is taken. */
class GradientSums {
  readonly #b: GraphBuilder;
  readonly #take: Value;
  readonly #share: number;
  readonly #made = new Map<string, { readonly before: Value; readonly after: Value }>();
  constructor(b: GraphBuilder, batches: number) {
    this.#b = b;
    this.#take = b.input('take step', 'bool', []);
    this.#share = 1 / batches;
  }
  /** What the batches before gave, and this one. */
  total({ name, gradient, parameter, shape }: Weight & { readonly name: string }): Value {
    const [b, dtype] = [this.#b, parameter.dtype ?? 'float32'];
    const number = (value: number): Value => b.constant(encodeTensor(dtype, [], [value]), 'step_constant');
    const before = b.input(`gradients of ${name}`, dtype, shape);
    const share = b.op('Mul', [gradient, number(this.#share)], { name: `share of ${name}` });
    const total = b.op('Add', [before, share], { name: `gradients of ${name} so far` });
    const after = b.op('Where', [this.#take, number(0), total], { name: `gradients of ${name} after` });
    this.#made.set(name, { before, after });
    return total;
  }
  of = (name: string): { readonly before: Value; readonly after: Value } => named(this.#made, name);
  whenTaken = (next: Value, before: Value): Value =>
    this.#b.op('Where', [this.#take, next, before], { name: `${before.name} after` });
}

interface Weight {
  readonly parameter: Value;
  readonly gradient: Value;
  readonly shape: readonly number[];
}
function weightOf(graph: Graph, name: string): Weight {
  const parameter = graph.inputs.find((v) => v.name === name);
  const gradient = graph.outputs.find((v) => v.name === `gradient of ${name}`);
  const shape = gradient?.shape?.filter((d) => typeof d === 'number');
  if (!parameter || !gradient || shape?.length !== gradient.shape?.length || !shape)
    return fail(
      'GRADIENT_UNKNOWN_NAME',
      parameter ? `the model returns no gradient of '${name}'` : `'${name}' is no input of the model`,
      { tensor: name },
      'call gradients() with it in `wrt` and with `weightsAsInputs`',
    );
  return { parameter, gradient, shape };
}

/** min(1, limit / norm), where the norm is that of all gradients together. */
function clipped(b: GraphBuilder, all: readonly Value[], limit: number): Value {
  const squares = all.map((g) => {
    const sum = b.op('ReduceSumSquare', [g], { attrs: { keepdims: 0 }, name: 'gradient_squares' });
    return sum.dtype === 'float32' ? sum : b.op('Cast', [sum], { attrs: { to: dtypeCode('float32') } });
  });
  const norm = b.op('Sqrt', [b.op('Sum', squares, { name: 'gradient_squares' })], {
    name: 'gradient norm',
    outputs: ['gradient norm'],
  });
  b.graph.addOutput(norm);
  const one = b.constant(1);
  return b.op('Min', [one, b.op('Div', [b.constant(limit), norm], { name: 'gradient_factor' })], {
    name: 'gradient_factor',
  });
}
