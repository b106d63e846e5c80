import { fail } from '../base/errors.js';
import { cloneModel } from '../ir/clone.js';
import { isFloat, type DType } from '../ir/dtype.js';
import type { Shape, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { inferShapes } from '../ops/infer.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { numberLike } from './losses/build.js';
import { losses } from './losses/index.js';
import { checkedOptions, partOf } from './options.js';
import { valuesOf } from './prepare.js';

/** One term of a weighted sum of losses. */
export interface LossTerm {
  /** Name of a loss: cross-entropy, token-cross-entropy, binary-cross-entropy, kl, mse or cosine. */
  readonly loss: string;
  /** The value that it judges. */
  readonly of: string;
  /** What it is held against: a value of the model, else the name of a new input. Default: `target of` that value. */
  readonly target?: string;
  /** Default: 1. */
  readonly weight?: number;
  /** Options of the loss by key; see its schema. */
  readonly options?: Readonly<Record<string, unknown>>;
}

/**
 * The model with one further output, the weighted sum of losses, by default called `loss`; with several terms also
 * each term before it is weighted, as `loss of VALUE`. Targets that no value of the model has the name of become
 * inputs: of the shape of what they are held against, or, for classes, of that shape without the axis of classes. The
 * model given stays as it is.
 *
 * Throws RECIPE_UNKNOWN_NAME for an unknown loss, RECIPE_INVALID for its options, GRADIENT_UNKNOWN_NAME for a value
 * that is no float tensor of the model.
 */
export function addLoss(given: Model, terms: readonly LossTerm[], name = 'loss'): Model {
  const { model } = cloneModel(given);
  inferShapes(model);
  const { graph } = model;
  const find = (wanted: string): Value | undefined => valuesOf(model).get(wanted);
  if (find(name)) fail('GRADIENT_UNKNOWN_NAME', `the model already has a value '${name}'`, { tensor: name });
  const builder = new GraphBuilder(model);
  builder.freeName(name); // kept for the sum
  const parts = terms.map((term) => {
    const loss = partOf(losses, term.loss, 'loss');
    const prediction = find(term.of);
    if (!prediction || (prediction.dtype && !isFloat(prediction.dtype)))
      return fail('GRADIENT_UNKNOWN_NAME', `'${term.of}' is no float tensor of the model`, { tensor: term.of });
    const target = (dtype: DType, shape: Shape | undefined, part = ''): Value => {
      const wanted = `${term.target ?? `target of ${term.of}`}${part && ` ${part}`}`;
      return find(wanted) ?? builder.input(wanted, dtype, shape);
    };
    const value = (wanted: string): Value =>
      find(wanted) ??
      fail('GRADIENT_UNKNOWN_NAME', `loss '${loss.name}': the model has no value '${wanted}'`, { tensor: wanted });
    const options = checkedOptions(loss.options, term.options, `loss '${loss.name}'`);
    return { term, value: loss.build({ builder, prediction, target, value }, options) };
  });
  const weighted = parts.map(({ term, value }) => {
    const { weight = 1 } = term;
    return weight === 1
      ? value
      : builder.op('Mul', [value, numberLike(builder, value, weight)], { name: 'loss_weighted' });
  });
  if (!weighted.length) fail('RECIPE_INVALID', 'a loss has no terms', {}, 'it needs at least one');
  const named = { name, outputs: [name] };
  graph.addOutput(weighted.length > 1 ? builder.op('Sum', weighted, named) : builder.op('Identity', weighted, named));
  if (parts.length > 1)
    for (const { term, value } of parts) {
      const output = builder.freeName(`loss of ${term.of}`);
      graph.addOutput(builder.op('Identity', [value], { name: output, outputs: [output] }));
    }
  return model;
}
