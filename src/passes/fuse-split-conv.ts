import type { Graph, Node, Value } from '../ir/graph.js';
import { allGraphs } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { removeUnused, replaceOutputs, type Pass } from '../rewrite/pass.js';

const WEIGHTS = 'weights or biases are not float32 constants of one shape';

/**
 * Split of the channels into g equal parts, a Conv of each with a kernel of its own, and Concat of the results in the
 * same order is one Conv with group = g, depthwise where each part is one channel: [W₁; W₂; …] and [b₁ b₂ …]. The
 * convolutions must have equal attributes and weights of one shape, and be used by the Concat alone.
 */
export const fuseSplitConv = {
  name: 'fuse-split-conv',
  doc: 'Computes convolutions of the parts of a Split as one with groups.',
  numerics: 'close',
  run(ctx) {
    let changes = 0;
    for (const graph of allGraphs(ctx.model.graph)) {
      for (const concat of graph.topological()) {
        if (concat.graph !== graph || concat.op !== 'Concat' || concat.domain !== '' || concat.inputs.length < 2)
          continue;
        const found = convolutions(concat, graph, ctx.model.graph.inputs);
        if (found === undefined) continue;
        if (typeof found === 'string') {
          ctx.refuse('fuse-split-conv', concat, found);
          continue;
        }
        merge(concat, found, new GraphBuilder(ctx.model, graph));
        changes++;
      }
    }
    return { changes };
  },
} satisfies Pass;

/** The convolutions in order; a reason where a Split is there but they do not fit; undefined where there is none. */
function convolutions(concat: Node, graph: Graph, modelInputs: readonly Value[]): readonly Node[] | string | undefined {
  const convs = concat.inputs.flatMap((v) =>
    v?.producer?.op === 'Conv' && v.producer.domain === '' && v.producer.graph === graph ? [v.producer] : [],
  );
  const first = convs[0];
  const split = first?.inputs[0]?.producer;
  if (!first || convs.length !== concat.inputs.length || split?.op !== 'Split' || split.domain !== '') return undefined;
  const rank = split.inputs[0]?.shape?.length ?? 0;
  const onChannels = (axis: number): boolean => axis === 1 || (rank > 0 && axis === 1 - rank);
  if (!onChannels(split.int('axis', 0)) || !onChannels(concat.int('axis')))
    return 'parts are not split and joined along channels';
  if (split.outputs.length !== convs.length || convs.some((c, i) => c.inputs[0] !== split.outputs[i]))
    return 'its inputs are not convolutions of all parts of one Split in their order';
  const busy = convs.find((c) => c.outputs[0]?.uses.size !== 1 || c.outputs[0].isGraphOutput);
  if (busy) return `'${busy.outputs[0]?.name}' has other uses`;
  const channels = split.outputs.map((o) => o.shape?.[1]);
  if (typeof channels[0] !== 'number' || channels.some((c) => c !== channels[0]))
    return 'the parts are not known to have equally many channels';
  const [W, B] = [first.inputs[1]?.data, first.inputs[2]?.data];
  const constant = (v: Value | null | undefined, like: Tensor | undefined): boolean =>
    v
      ? v.isInitializer &&
        !modelInputs.includes(v) &&
        v.data?.dtype === 'float32' &&
        v.data.dims.join() === like?.dims.join()
      : !like;
  if (!W || convs.some((c) => !constant(c.inputs[1], W) || !constant(c.inputs[2], B))) return WEIGHTS;
  const attributes = (n: Node): string => JSON.stringify([...n.attrs].map(([k, a]) => [k, String(a.value)]).sort());
  return convs.every((c) => c.int('group', 1) === 1 && attributes(c) === attributes(first))
    ? convs
    : 'the convolutions have groups or different attributes';
}

function merge(concat: Node, convs: readonly Node[], b: GraphBuilder): void {
  const [first] = convs;
  const split = first?.inputs[0]?.producer;
  const x = split?.inputs[0];
  const y = concat.outputs[0];
  if (!first || !split || !x || !y) return; // convolutions() made sure
  const joined = (slot: 1 | 2): Value | undefined => {
    const parts = convs.flatMap((c) => c.inputs[slot]?.data ?? []);
    const [part] = parts;
    if (!part) return undefined;
    const data = new Float32Array(part.size * parts.length);
    parts.forEach((p, i) => data.set(p.f32(), i * part.size));
    return b.constant(
      Tensor.f32(data, [(part.dims[0] ?? 0) * parts.length, ...part.dims.slice(1)]),
      first.inputs[slot]?.name,
    );
  };
  const inputs = [x, joined(1), joined(2)].filter((v) => v !== undefined);
  const name = y.name;
  const made = b.op('Conv', inputs, {
    attrs: { ...Object.fromEntries(first.attrs), group: convs.length },
    name: concat.name || first.name || 'Conv',
  });
  replaceOutputs(b.graph, concat, [made]);
  removeUnused(b.graph, [concat, ...convs, split]);
  made.name = name;
}
