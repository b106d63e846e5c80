/** A block of a model as a model of its own. */
import { named } from '../base/lists.js';
import { cloneModel } from '../ir/clone.js';
import type { Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { cutAt } from '../codes/frontier.js';
import { removeOutputs, removeUnreached } from '../rewrite/unreached.js';
import type { Block } from './blocks.js';

export interface Part {
  readonly model: Model;
  /** Its value for one of the model that it was cut from. */
  readonly valueOf: (v: Value) => Value;
  /** As above; undefined for what it does not hold. */
  readonly find: (v: Value) => Value | undefined;
}

/**
 * The nodes between a block's inputs and its outputs, and what they need of the model's own inputs. Values keep their
 * names, by which those of the block are found: it may be one of another model with the same names.
 */
export function partOf(given: Model, block: Pick<Block, 'inputs' | 'outputs'>): Part {
  const { model, values } = cloneModel(given);
  const { graph } = model;
  const own = new Map([...graph.nodes].flatMap((n) => n.outputs).map((v) => [v.name, v]));
  removeOutputs(graph);
  const inputs = [...block.inputs, ...graph.inputs.filter((v) => !v.data)];
  const replaced = cutAt(graph, new Set(inputs.map((v) => v.name)));
  for (const { name } of block.outputs) graph.addOutput(named(own, name));
  removeUnreached(graph);
  const held = new Set([...graph.nodes].flatMap((n) => [...n.inputs, ...n.captures(), ...n.outputs]));
  const valueOf = (v: Value): Value => {
    const copy = named(values, v);
    return replaced.get(copy) ?? copy;
  };
  return { model, valueOf, find: (v) => (held.has(valueOf(v)) ? valueOf(v) : undefined) };
}
