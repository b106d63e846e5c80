/** Small models as quantized graphs, with ranges that are given instead of calibrated. */
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { planModel } from '../../../src/pipeline/prepare.js';
import { resolveRecipe } from '../../../src/recipe/load.js';
import type { QuantizedGraph } from '../../../src/scheme/quantized.js';
import { anyExample } from '../../../src/targets/shared/refusals.js';
import type { EmitInput, Emitted, Target } from '../../../src/targets/types.js';
import { anyParams } from '../../models/any-params.js';

export const netOf = (body: string): string => `<ir_version: 8, opset_import: ["" : 17]>\ng ${body}`;

/** The graph of a target: every range is −4..4. */
export async function quantized(target: Target, text: string): Promise<QuantizedGraph> {
  const resolved = await resolveRecipe({
    version: 1,
    model: 'm.onnx',
    calibration: { data: { npy: 'x.npy' } },
    quantize: { format: 'qdq' },
  });
  const recipe = { ...resolved.recipe, target: target.name };
  const model = parseModel(text, { randomInitializers: 1 });
  inferShapes(model);
  const { planned } = planModel(model, recipe, () => undefined, { targets: [target] });
  return { model, planned, params: anyParams(planned), seed: 0 };
}

export function inputOf(graph: QuantizedGraph, precision: EmitInput['precision'] = 'float32'): EmitInput {
  const sizes = Object.entries(anyExample(graph.model));
  const example = Object.fromEntries(
    sizes.map(([name, { dims }]) => {
      const data = new Float32Array(dims.reduce((n, d) => n * d, 1));
      return [name, { dtype: 'float32', dims, data }] as const;
    }),
  );
  const none = async function* (): AsyncGenerator<never> {
    // no samples
  };
  return { graph, onnx: graph.model, precision, example, samples: none, latency: new Map(), name: 'm' };
}

/** A file by the end of its name, as bytes. */
export function fileOf({ files }: Emitted, end: string): Buffer {
  const found = files.find((f) => f.path.endsWith(end));
  if (!found) throw new Error(`no file ends with ${end}`);
  return Buffer.from(found.data);
}
