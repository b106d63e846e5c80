/** Facet cases as models, and what onnxruntime makes of them. */
import type { Feed } from '../../../src/ir/feed.js';
import type { Shape } from '../../../src/ir/graph.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { randomFeed } from '../../../src/pipeline/feeds.js';
import { openModel } from '../../../src/runtime/open.js';
import { SIZES, type FacetCase } from './cases/case.js';
import { elementwiseCases } from './cases/elementwise.js';
import { linearCases } from './cases/linear.js';
import { quantizedCases } from './cases/quantized.js';
import { shapeCases } from './cases/shape.js';

export const cases: readonly FacetCase[] = [...elementwiseCases, ...linearCases, ...shapeCases, ...quantizedCases];

/** Every named result of the main graph is returned. */
export function modelOf({ graph, opset = 21 }: FacetCase): Model {
  const header = `<ir_version: 8, opset_import: ["" : ${opset}, "com.microsoft" : 1]>`;
  const model = parseModel(`${header}\ng ${graph}`, { randomInitializers: 7 });
  for (const n of model.graph.topological())
    for (const y of n.outputs) if (y.name && !y.isGraphOutput) model.graph.addOutput(y);
  return model;
}

const bound = (shape: Shape | undefined): number[] =>
  (shape ?? []).map((d) => (typeof d === 'number' ? d : (SIZES[d ?? ''] ?? 1)));
/** The shapes of its inputs with a number for each symbol. */
export const boundShapes = (model: Model): Map<string, Shape> =>
  new Map(model.graph.inputs.map((v) => [v.name, bound(v.shape)]));

/** Inputs and results as onnxruntime has them. */
export async function runCase(c: FacetCase): Promise<{ readonly feed: Feed; readonly results: Feed }> {
  const model = modelOf(c);
  const shapes = boundShapes(model);
  const feed = randomFeed(
    model.graph.inputs.map((v) => ({ name: v.name, dtype: v.dtype, shape: shapes.get(v.name) })),
    5,
  );
  const session = await openModel(model, { optimization: 'disabled', label: c.graph });
  try {
    return { feed, results: await session.run(feed) };
  } finally {
    await session.close();
  }
}
