/**
 * Hostile files have nodes with more or less than their operator takes or gives, and any numbers: passes leave them, or
 * refuse the model.
 */
import { describe, expect, it } from 'vitest';
import { QuantError } from '../../src/base/errors.js';
import { cloneModel } from '../../src/ir/clone.js';
import { Node, type Value } from '../../src/ir/graph.js';
import type { Model } from '../../src/ir/model.js';
import { Tensor } from '../../src/ir/tensor.js';
import { parseModel } from '../../src/ir/text/parse.js';
import { verify } from '../../src/ir/verify.js';
import { inferShapes } from '../../src/ops/infer.js';
import { everyPass } from '../../src/passes/presets.js';
import { evaluateModel } from '../../src/runtime/open.js';
import { readFixtures, type Fixture } from './fixture.js';

type Spoil = (model: Model, node: Node) => void;

/** Adds a node of the same operator and attributes. */
function twin(model: Model, node: Node, inputs: readonly (Value | null)[], outputs: readonly string[]): Node {
  const made = new Node(node.op, inputs, outputs, node.domain);
  for (const [name, attr] of node.attrs) if (attr.type !== 'graph') made.attrs.set(name, attr);
  return model.graph.add(made);
}
const returned = (model: Model, v: Value): void => {
  const reader = model.graph.add(new Node('Identity', [v], [`${v.name} read`]));
  model.graph.addOutput(reader.outputs[0]!); // it was made with one
};
const spoils: Readonly<Record<string, Spoil>> = {
  'an output too many': (model, node) => returned(model, node.addOutput('one too many')),
  'no outputs': (model, node) => void twin(model, node, node.inputs, []),
  'no inputs': (model, node) => returned(model, twin(model, node, [], ['of nothing']).outputs[0]!), // made with one
  'inputs left out': (model, node) =>
    returned(
      model,
      twin(
        model,
        node,
        node.inputs.map(() => null),
        ['of none'],
      ).outputs[0]!,
    ), // made with one
  'an input too many': (model, node) =>
    returned(model, twin(model, node, [...node.inputs, ...node.inputs], ['of more']).outputs[0]!), // made with one
};

/** Runs the pass of a fixture on a model, which it leaves whole, or refuses. */
async function runOn(f: Fixture, model: Model, what: string): Promise<void> {
  const pass = everyPass.find((p) => p.name === f.name.replace(/\.\d+$/, ''))!; // a fixture belongs to one
  try {
    inferShapes(model);
    await pass.run({ model, evaluate: evaluateModel, report: () => undefined, refuse: () => undefined });
    expect(verify(model)).toEqual([]);
  } catch (error) {
    const told = error instanceof QuantError && error.code !== 'INTERNAL';
    expect(told ? '' : `${what}: ${String(error)}`).toBe('');
  }
}

/** The model with one integer of a constant, or of an attribute, changed; one after the other. */
function* withNumber(given: Model, value: bigint): Generator<readonly [what: string, Model]> {
  for (const at of [...given.graph.initializers].keys()) {
    const { dtype, dims, size } = [...given.graph.initializers][at]!.data!; // initializers have data
    for (let i = 0; dtype === 'int64' && i < Math.min(size, 4); i++) {
      const { model } = cloneModel(given);
      const v = [...model.graph.initializers][at]!;
      v.data = Tensor.i64(
        v.data!.ints().map((n, k) => (k === i ? value : n)),
        dims,
      );
      yield [`${v.name}[${i}]`, model];
    }
  }
  for (const at of [...given.graph.nodes].keys())
    for (const [name, attr] of [...given.graph.nodes][at]!.attrs) {
      if (attr.type !== 'int' && attr.type !== 'ints') continue;
      const { model } = cloneModel(given);
      const { attrs } = [...model.graph.nodes][at]!;
      if (attr.type === 'int') attrs.set(name, { ...attr, value });
      else attrs.set(name, { ...attr, value: attr.value.map(() => value) });
      yield [name, model];
    }
}

describe.each([0n, -1n, 2n ** 31n, 2n ** 62n, -(2n ** 63n)])('a number that is %d', (value) => {
  it.each(readFixtures('passes'))('$name: $description', async (f) => {
    const given = parseModel(f.sections.get('before') ?? '', { randomInitializers: 1 });
    for (const [what, model] of withNumber(given, value)) {
      await runOn(f, model, what);
    }
  });
});

describe.each(Object.entries(spoils))('%s', (_, spoil) => {
  it.each(readFixtures('passes'))('$name: $description', async (f) => {
    const given = parseModel(f.sections.get('before') ?? '', { randomInitializers: 1 });
    for (const at of [...given.graph.nodes].keys()) {
      const { model } = cloneModel(given);
      const node = [...model.graph.nodes][at]!; // one of these
      spoil(model, node);
      await runOn(f, model, node.op);
    }
  });
});
