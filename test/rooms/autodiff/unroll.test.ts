/** Unrolled cells give what onnxruntime's cells give; what cannot be unrolled is refused by name. */
import { describe, expect, it } from 'vitest';
import { addLoss } from '../../../src/autodiff/add-loss.js';
import { gradients } from '../../../src/autodiff/gradients.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { productCases } from './cases/products.js';
import { expectAlike } from './check.js';

const parse = (graph: string): Model => parseModel(`<ir_version: 10, opset_import: ["" : 21]> g ${graph}`);

describe.each(['LSTM', 'GRU', 'RNN'])('%s', (op) => {
  it.each(productCases[op]!.map((c) => c.graph.replaceAll('real', 'float')))('%s', async (graph) => {
    const model = parse(graph);
    const outputs = model.graph.outputs.map((v) => v.name);
    const terms = outputs.map((of) => ({ loss: 'mse', of, target: of }));
    const made = gradients(addLoss(model, terms), { loss: 'loss', wrt: ['w'], outputs });
    expect([...made.graph.nodes].map((n) => n.op)).not.toContain(op);
    await expectAlike(model, made, outputs);
  });
  it.each([
    ['clipping', 'clip = 1.0', ''],
    ['other activations', 'activations = ["Relu", "Relu", "Relu"]', ''],
    ['lengths of sequences', '', 'l'],
  ])('is refused with %s', (_, attrs, lengths) => {
    const gates = { LSTM: 4, GRU: 3, RNN: 1 }[op]!;
    const model = parse(
      `(float[4,2,3] x, float[1,${2 * gates},3] w, float[1,${2 * gates},2] r) => (loss) <int32[2] l = {4,2}> ` +
        `{ y = ${op} <hidden_size = 2${attrs && `, ${attrs}`}> (x, w, r, , ${lengths}) ` +
        'loss = ReduceSum <keepdims = 0> (y) }',
    );
    expect(() => gradients(model, { loss: 'loss', wrt: ['w'] })).toThrow(
      expect.objectContaining({ code: 'GRADIENT_UNSUPPORTED', where: { node: 'y' } }),
    );
  });
});
