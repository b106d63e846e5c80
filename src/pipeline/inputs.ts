/** What a model takes, as data sources and random feeds need to know it. */
import { rolesOf } from '../data/language/roles.js';
import { cloneModel } from '../ir/clone.js';
import type { ValueInfo } from '../ir/feed.js';
import type { Model } from '../ir/model.js';
import { inferShapes } from '../ops/infer.js';
import { inputFacts } from '../ops/input-facts.js';

/**
 * All inputs, as the graph declares them; of language models with the number of ids, and with sizes of a past that only
 * its nodes tell.
 */
export function inputInfo(model: Model): ValueInfo[] {
  const declared = model.graph.inputs.map((v): ValueInfo => ({ name: v.name, dtype: v.dtype, shape: v.shape }));
  const roles = rolesOf(declared);
  if (!roles.size) return declared;
  const vague = declared.some(
    (i) => /^past/.test(roles.get(i.name) ?? '') && (i.shape ?? []).filter((d) => typeof d !== 'number').length > 2,
  );
  const facts = inputFacts(vague ? inferred(model).graph : model.graph);
  return declared.map((i) => {
    const found = roles.has(i.name) ? facts.get(i.name) : undefined;
    const rows = found?.rows;
    return { ...i, ...(found?.shape ? { shape: found.shape } : {}), ...(rows === undefined ? {} : { below: rows }) };
  });
}

/** Of those, the ones that a run is fed: an input with a default may be left out. */
export const fedInputs = (model: Model): ValueInfo[] =>
  inputInfo(model).filter((i) => !model.graph.inputs.find((v) => v.name === i.name)?.data);

/** What a session takes, with what the graph of its model tells. */
export function sessionInputs(session: { readonly inputs: readonly ValueInfo[] }, model: Model): readonly ValueInfo[] {
  const known = new Map(inputInfo(model).map((i) => [i.name, i]));
  return session.inputs.map((i) => known.get(i.name) ?? i);
}

function inferred(model: Model): Model {
  const { model: copy } = cloneModel(model);
  inferShapes(copy);
  return copy;
}
