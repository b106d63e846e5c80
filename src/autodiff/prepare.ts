/** A copy of a model that gradient rules can read: fixed sizes, one opset, only what is asked for. */
import { fail, nearest } from '../base/errors.js';
import { cloneModel } from '../ir/clone.js';
import { isFloat } from '../ir/dtype.js';
import type { Dim, Shape, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { inlineFunctions } from '../ir/inline.js';
import { forgetInferred, inferShapes } from '../ops/infer.js';
import { convertOpset } from '../passes/convert-opset.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { removeOutputs, removeUnreached } from '../rewrite/unreached.js';
import { expandOp } from './expand.js';
import { replaceBehind } from './replace.js';
import type { GradientOptions } from './types.js';
import { unrollCell } from './unroll.js';

/** Rules read and build operators as they are from here on. */
export const RULES_OPSET = 18;

export interface Prepared {
  readonly model: Model;
  /** Elements of shape arithmetic. */
  readonly ints: ReadonlyMap<Value, readonly Dim[]>;
  readonly loss: Value;
  readonly wrt: readonly Value[];
  readonly constants: readonly Value[];
  readonly outputs: readonly Value[];
}

/**
 * Throws GRADIENT_UNKNOWN_NAME for a name that the model lacks, GRADIENT_INVALID for a loss that is not one float
 * number, MODEL_UNSUPPORTED for a model of an opset below 7.
 */
export function prepare(given: Model, options: GradientOptions): Prepared {
  const { model } = cloneModel(given);
  inlineFunctions(model);
  const shapes = inputShapes(model, options);
  infer(model, shapes); // conversion asks for shapes
  convertOpset(model, RULES_OPSET);
  const values = valuesOf(model);
  const find = (name: string, what: string): Value =>
    values.get(name) ??
    fail(
      'GRADIENT_UNKNOWN_NAME',
      `${what} '${name}' is no tensor of the model`,
      { tensor: name },
      hintFor(name, values),
    );
  const loss = find(options.loss, 'the loss');
  const wrt = options.wrt.map((name) => find(name, 'what gradients are asked for,'));
  const outputs = (options.outputs ?? []).map((name) => find(name, 'the output'));
  const constants = (options.constants ?? []).map((name) => find(name, 'the constant'));
  for (const v of wrt)
    if (v.dtype && !isFloat(v.dtype))
      fail('GRADIENT_UNKNOWN_NAME', `'${v.name}' is of type ${v.dtype}`, { tensor: v.name }, 'gradients are by floats');
  if (options.weightsAsInputs) for (const v of wrt) feed(model, v);
  keepOnly(model, [...outputs, loss]);
  let ints = infer(model, shapes);
  checkLoss(loss);
  if (replaceBehind(model, wrt, [unrollCell, expandOp])) ints = infer(model, shapes);
  return { model, ints, loss, wrt, constants, outputs };
}

function hintFor(name: string, values: ReadonlyMap<string, Value>): string {
  const near = nearest(name, values.keys());
  return near ? `did you mean '${near}'?` : 'inputs, initializers and results of nodes have names';
}

/** Inputs, initializers and results by name. */
export function valuesOf({ graph }: Model): Map<string, Value> {
  const results = [...graph.nodes].flatMap((n) => n.outputs);
  return new Map([...graph.inputs, ...graph.initializers, ...results].filter((v) => v.name).map((v) => [v.name, v]));
}

/** Shapes of all inputs, with numbers where the options give them. */
function inputShapes(model: Model, { shapes = {}, batch }: GradientOptions): Map<string, Shape> {
  const { inputs } = model.graph;
  for (const name of Object.keys(shapes))
    if (!inputs.some((v) => v.name === name))
      fail('GRADIENT_UNKNOWN_NAME', `a shape is given for '${name}', which is no input`, { tensor: name });
  const named = new Map<string, number>();
  for (const v of inputs) {
    const first = v.shape?.[0];
    if (batch !== undefined && typeof first === 'string') named.set(first, batch);
    shapes[v.name]?.forEach((size, axis) => {
      const d = v.shape?.[axis];
      if (typeof d === 'string') named.set(d, size);
    });
  }
  const settle = (d: Dim, axis: number): Dim =>
    typeof d === 'string' ? (named.get(d) ?? d) : d === null && axis === 0 && batch !== undefined ? batch : d;
  return new Map(inputs.flatMap((v) => (v.shape ? [[v.name, shapes[v.name] ?? v.shape.map(settle)]] : [])));
}

function infer(model: Model, shapes: ReadonlyMap<string, Shape>): ReadonlyMap<Value, readonly Dim[]> {
  forgetInferred(model);
  for (const v of model.graph.outputs) if (v.producer) v.shape = undefined;
  return inferShapes(model, shapes).ints;
}

/** An initializer becomes an input without a default. */
function feed({ graph }: Model, v: Value): void {
  if (!v.isInitializer) return;
  graph.initializers.delete(v);
  v.data = undefined;
  if (!graph.isInput(v)) graph.addInput(v);
}

/** Leaves `outputs` as the outputs, and only what they depend on. */
function keepOnly(model: Model, outputs: readonly Value[]): void {
  const { graph } = model;
  removeOutputs(graph);
  const b = new GraphBuilder(model);
  for (const v of new Set(outputs)) graph.addOutput(v.producer ? v : b.op('Identity', [v], { name: v.name }));
  removeUnreached(graph);
}

function checkLoss(loss: Value): void {
  const where = { tensor: loss.name };
  if (loss.dtype && !isFloat(loss.dtype))
    fail('GRADIENT_INVALID', `the loss '${loss.name}' is of type ${loss.dtype}`, where, 'a loss is a float number');
  if (!loss.shape?.every((d) => d === 1))
    fail(
      'GRADIENT_INVALID',
      `the loss '${loss.name}' has shape [${loss.shape?.join(', ') ?? 'unknown'}]`,
      where,
      'a loss is one number: reduce it by ReduceSum or ReduceMean',
    );
}
