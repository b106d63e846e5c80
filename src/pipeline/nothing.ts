/** Models that no format has anything for. */
import { fail } from '../base/errors.js';
import { allGraphs, type Model } from '../ir/model.js';
import { isCell, specOf } from '../ops/index.js';

const ML = 'ai.onnx.ml';

/** Throws QUANTIZE_NOTHING for a model of ai.onnx.ml operators alone: no format has anything for it. */
export function assertMoreThanTrees(model: Model): void {
  const nodes = [...allGraphs(model.graph)].flatMap((g) => [...g.nodes]);
  if (!nodes.some((n) => n.domain === ML) || nodes.some((n) => specOf(n)?.quant.role === 'compute' || isCell(n)))
    return;
  const ops = [...new Set(nodes.filter((n) => n.domain === ML).map((n) => n.op))];
  fail(
    'QUANTIZE_NOTHING',
    `nothing in the model can be quantized: tree ensembles and linear ${ML} operators (${ops.join(', ')}) are ` +
      'not quantized',
    {},
    'such models are small and quick as they are',
  );
}
