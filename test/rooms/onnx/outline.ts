import type { Model } from '../../../src/ir/model.js';
import { allGraphs } from '../../../src/ir/model.js';

/** What must survive a round trip, as plain data. */
export function outline(model: Model): unknown {
  const info = (v: { name: string; dtype: unknown; shape: unknown }): unknown => [v.name, v.dtype, v.shape];
  return {
    ir: model.irVersion,
    opsets: [...model.opsets],
    metadata: [...model.metadata],
    producer: model.producerName,
    functions: model.functions.map((f) => f.name),
    graphs: [...allGraphs(model.graph)].map((g) => ({
      name: g.name,
      inputs: g.inputs.map(info),
      outputs: g.outputs.map(info),
      initializers: [...g.initializers].map((v) => [v.name, v.data!.dtype, v.data!.dims, v.data!.byteLength]),
      nodes: [...g.nodes].map((n) => [
        n.op,
        n.domain,
        n.name,
        n.inputs.map((v) => v?.name ?? ''),
        n.outputs.map(info),
        [...n.attrs].map(([k, a]) => [k, a.type, a.type === 'graph' || a.type === 'tensor' ? '' : String(a.value)]),
      ]),
    })),
  };
}
