/** Hostile files have nodes with an output more than their operator gives: passes leave them, or refuse the model. */
import { expect, it } from 'vitest';
import { QuantError } from '../../src/base/errors.js';
import { cloneModel } from '../../src/ir/clone.js';
import { Node } from '../../src/ir/graph.js';
import { parseModel } from '../../src/ir/text/parse.js';
import { verify } from '../../src/ir/verify.js';
import { inferShapes } from '../../src/ops/infer.js';
import { everyPass } from '../../src/passes/presets.js';
import { evaluateModel } from '../../src/runtime/open.js';
import { readFixtures } from './fixture.js';

it.each(readFixtures('passes'))('$name: $description', async (f) => {
  const pass = everyPass.find((p) => p.name === f.name.replace(/\.\d+$/, ''))!; // a fixture belongs to one
  const given = parseModel(f.sections.get('before') ?? '', { randomInitializers: 1 });
  for (const at of [...given.graph.nodes].keys()) {
    const { model } = cloneModel(given);
    const node = [...model.graph.nodes][at]!; // one of these
    const extra = node.addOutput('one too many');
    const read = new Node('Identity', [extra], ['of one too many']);
    model.graph.add(read);
    model.graph.addOutput(read.outputs[0]!); // it was made with one
    try {
      inferShapes(model);
      await pass.run({ model, evaluate: evaluateModel, report: () => undefined, refuse: () => undefined });
      expect(verify(model)).toEqual([]);
    } catch (error) {
      const told = error instanceof QuantError && error.code !== 'INTERNAL';
      expect(told ? '' : `${node.op}: ${String(error)}`).toBe('');
    }
  }
});
