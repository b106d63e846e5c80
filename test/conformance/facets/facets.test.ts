/** Types, shapes, contents of shape tensors and costs of every operator, against onnxruntime and against loops. */
import { describe, expect, it } from 'vitest';
import { modelCost, sized as sizedCopy } from '../../../src/cost/nodes.js';
import { byteLength } from '../../../src/ir/dtype.js';
import type { FeedTensor } from '../../../src/ir/feed.js';
import type { Dim, Shape, Value } from '../../../src/ir/graph.js';
import type { Model } from '../../../src/ir/model.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { ops } from '../../../src/ops/index.js';
import { SIZES } from './cases/case.js';
import { counterOf } from './counts.js';
import { boundShapes, cases, modelOf, runCase } from './run.js';

const factsOf = (model: Model) =>
  Object.fromEntries(model.graph.outputs.map((v) => [v.name, { dtype: v.dtype, shape: v.shape }]));
const numberOf = (d: Dim): Dim => (typeof d === 'string' ? (SIZES[d] ?? d) : d);
const bind = (shape: Shape | undefined): Shape | undefined => shape?.map(numberOf);

/** Elements that inference claims to know must be what the runtime computes. */
function compareContents(model: Model, ints: ReadonlyMap<Value, readonly Dim[]>, results: Seen): number {
  let known = 0;
  for (const v of model.graph.outputs) {
    const { data } = results.get(v.name)!; // every output was run
    for (const [i, d] of (ints.get(v) ?? []).entries()) {
      if (d === null) continue;
      expect(numberOf(d), `${v.name}[${i}]`).toBe(Number(data[i]));
      known++;
    }
  }
  return known;
}

type Seen = ReadonlyMap<string, Pick<FeedTensor, 'dtype' | 'dims' | 'data'>>;
/** Results that are another view of their operand, or known when the model is loaded: nothing is moved. */
const VIEWS = 'Reshape Flatten Squeeze Unsqueeze Identity Dropout Constant Shape Size'.split(' ');
const NO_WEIGHTS = ['int64', 'int32', 'bool', 'string'];

/** Costs of each node from the sizes that its tensors had. */
function compareCosts(model: Model, seen: Seen): void {
  const nodes = model.graph.topological();
  const cost = modelCost(sizedCopy(model, new Map()));
  const dims = (v: Value | null): readonly number[] => v?.data?.dims ?? seen.get(v?.name ?? '')?.dims ?? [];
  const bytes = (v: Value | null): number => {
    const type = v?.data?.dtype ?? seen.get(v?.name ?? '')?.dtype;
    return type
      ? byteLength(
          type,
          dims(v).reduce((n, d) => n * d, 1),
        )
      : 0;
  };
  const read = new Set<Value>();
  for (const [i, node] of nodes.entries()) {
    const count = counterOf(node.op);
    if (!count) continue;
    const { macs, other } = count(node, node.inputs.map(dims), node.outputs.map(dims));
    const view = VIEWS.includes(node.op);
    const weights = new Set(node.inputs.filter((v) => v?.data && !NO_WEIGHTS.includes(v.data.dtype) && !read.has(v)));
    // Running statistics are no parameters.
    if (node.op === 'BatchNormalization') node.inputs.slice(3).forEach((v) => weights.delete(v));
    let parameters = 0;
    for (const v of view ? [] : weights) {
      parameters += v!.data!.size;
      read.add(v!);
    }
    expect(cost.nodes[i], node.op).toMatchObject({
      macs,
      flops: 2 * macs + other,
      parameters,
      readBytes: view ? 0 : [...new Set(node.inputs)].reduce((n, v) => n + bytes(v), 0),
      writeBytes: view ? 0 : node.outputs.reduce((n, v) => n + bytes(v), 0),
    });
  }
}

it('every operator has a case, and a count', () => {
  const seen = new Set(cases.flatMap((c) => [...modelOf(c).graph.nodes].map((n) => `${n.domain}:${n.op}`)));
  expect(ops.map((o) => `${o.domain}:${o.op}`).filter((name) => !seen.has(name))).toEqual([]);
  // Their bodies are counted, see test/rooms/cost.
  expect(ops.map((o) => o.op).filter((op) => !counterOf(op))).toEqual(['If', 'Loop', 'Scan']);
});

describe.each(cases)('$graph', (c) => {
  it('has the types, sizes, contents and costs that onnxruntime and loops give', async () => {
    const { feed, results } = await runCase(c);
    const seen: Seen = new Map([...Object.entries(feed), ...Object.entries(results)]);
    const [sized, symbolic] = [modelOf(c), modelOf(c)];
    const real = Object.fromEntries(
      sized.graph.outputs.map(({ name }) => {
        const { dtype, dims } = results[name]!; // the session returns every output
        return [name, { dtype, shape: c.open && name in c.open ? c.open[name] : [...dims] }];
      }),
    );
    const known = compareContents(sized, inferShapes(sized, boundShapes(sized)).ints, seen);
    expect(factsOf(sized)).toEqual(real);
    expect(known).toBeGreaterThanOrEqual(c.contents ?? 0);

    compareContents(symbolic, inferShapes(symbolic).ints, seen);
    for (const [name, { dtype, shape }] of Object.entries(factsOf(symbolic))) {
      const bound = bind(shape);
      const loose = c.whileSymbolic?.includes(name);
      expect({ dtype, shape: loose ? bound?.map((d, i) => d ?? real[name]!.shape![i]) : bound }, name).toEqual(
        real[name],
      );
      if (loose) expect(bound).toContain(null);
    }
    if (!c.open) compareCosts(sized, seen);
  });
});
