/**
 * ShuffleNet's channel shuffle, Reshape–Transpose–Reshape, stays one at every level: runtimes and converters look for
 * it.
 */
import { describe, expect, it } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import type { OptimizeLevel } from '../../../src/passes/presets.js';
import { optimizeGraph } from '../../../src/standalone/optimize.js';
import { difference } from '../../../src/standalone/same-outputs.js';
import { randomFeed } from '../../../src/pipeline/feeds.js';
import { openModel } from '../../../src/runtime/open.js';
import type { Model } from '../../../src/ir/model.js';

const HEAD = '<ir_version: 8, opset_import: ["" : 17]>\n';
const CONSTANTS = 'int64[5] apart = {0,2,3,4,4}, int64[5] thirds = {0,3,2,4,4}, int64[4] together = {0,6,4,4}';
const shuffle = (x: string, y: string, to: string): string =>
  `r${y} = Reshape(${x}, ${to}) t${y} = Transpose<perm = [0,2,1,3,4]>(r${y}) ${y} = Reshape(t${y}, together)`;
const ops = (model: Model): string[] => model.graph.topological().map((n) => n.op);

async function outputs(model: Model) {
  const session = await openModel(model, { optimization: 'disabled' });
  try {
    return await session.run(randomFeed(session.inputs, 1, 2));
  } finally {
    await session.close();
  }
}

describe.each<OptimizeLevel>(['basic', 'default', 'aggressive'])('a channel shuffle at level %s', (level) => {
  it('stays between convolutions', async () => {
    const text =
      `${HEAD}g (float[N,6,4,4] x) => (float[N,6,4,4] y) <float[6,3,1,1] W, float[6,1,3,3] D, ${CONSTANTS}> { c ` +
      `= Conv<group = 2>(x, W) ${shuffle('c', 's', 'apart')} y = Conv<group = 6, pads = [1,1,1,1]>(s, D) }`;
    const model = parseModel(text, { randomInitializers: 1 });
    await optimizeGraph(model, { level });
    expect(ops(model)).toEqual(['Conv', 'Reshape', 'Transpose', 'Reshape', 'Conv']);
    const split = model.graph.topological()[1]?.outputs[0]?.shape;
    expect(split?.slice(1)).toEqual([2, 3, 4, 4]);
    expect(
      difference(await outputs(parseModel(text, { randomInitializers: 1 })), await outputs(model)).error,
    ).toBeLessThanOrEqual(1e-6);
  });
  it('goes with the one that undoes it', async () => {
    const text =
      `${HEAD}g (float[N,6,4,4] x) => (float[N,6,4,4] y) <${CONSTANTS}> { a = Relu(x) ` +
      `${shuffle('a', 's', 'apart')} ${shuffle('s', 'u', 'thirds')} y = Sigmoid(u) }`;
    const model = parseModel(text, { randomInitializers: 1 });
    await optimizeGraph(model, { level });
    expect(ops(model).filter((op) => op !== 'Reshape' && op !== 'Transpose')).toEqual(['Relu', 'Sigmoid']);
    expect(difference(await outputs(parseModel(text)), await outputs(model)).error).toBe(0);
  });
  it('stays beside an equal one: two are another permutation, which no single shuffle is', async () => {
    const text =
      `${HEAD}g (float[N,6,4,4] x) => (float[N,6,4,4] y) <${CONSTANTS}> { a = Relu(x) ` +
      `${shuffle('a', 's', 'apart')} ${shuffle('s', 'u', 'apart')} y = Sigmoid(u) }`;
    const model = parseModel(text, { randomInitializers: 1 });
    await optimizeGraph(model, { level });
    expect(ops(model).filter((op) => op === 'Transpose')).toHaveLength(2);
    expect(difference(await outputs(parseModel(text)), await outputs(model)).error).toBe(0);
  });
});
