import { describe, expect, it } from 'vitest';
import { cloneModel } from '../../src/ir/clone.js';
import type { Feed } from '../../src/ir/feed.js';
import type { Model } from '../../src/ir/model.js';
import { printNode } from '../../src/ir/text/print.js';
import { parseModel } from '../../src/ir/text/parse.js';
import { verify } from '../../src/ir/verify.js';
import { inferShapes } from '../../src/ops/infer.js';
import { everyPass } from '../../src/passes/presets.js';
import { randomFeed } from '../../src/pipeline/feeds.js';
import type { Pass } from '../../src/rewrite/pass.js';
import { evaluateModel, openModel } from '../../src/runtime/open.js';
import { expected, readFixtures } from './fixture.js';

/** Runs a pass once and collects what it refused. */
async function apply(pass: Pass, model: Model): Promise<{ changes: number; refusals: string[] }> {
  const refusals: string[] = [];
  inferShapes(model);
  const { changes } = await pass.run({
    model,
    evaluate: evaluateModel,
    report: () => undefined,
    refuse: (_rule, _node, reason) => refusals.push(reason),
  });
  return { changes, refusals };
}

async function outputsOf(model: Model, feed: Feed): Promise<Feed> {
  const session = await openModel(model, { optimization: 'disabled' });
  try {
    return await session.run(feed);
  } finally {
    await session.close();
  }
}

const fixtures = readFixtures('passes');

describe('every pass', () => {
  it.each(everyPass.map((p) => p.name))('%s has a fixture that it changes and one that it leaves alone', (name) => {
    const own = fixtures.filter((f) => f.name.replace(/\.\d+$/, '') === name);
    expect(own.some((f) => f.sections.get('changes') !== '0')).toBe(true);
    expect(own.some((f) => f.sections.get('changes') === '0')).toBe(true);
  });
});

describe.each(fixtures)('$name: $description', (f) => {
  const pass = everyPass.find((p) => p.name === f.name.replace(/\.\d+$/, ''))!;

  it('rewrites as written, keeps the outputs, and does nothing the second time', async () => {
    const model = parseModel(f.sections.get('before') ?? '', { randomInitializers: 1 });
    const before = cloneModel(model).model;
    const { changes, refusals } = await apply(pass, model);
    expect(verify(model)).toEqual([]);

    const after = [
      ...model.graph.topological().map((n) => printNode(n)),
      `(${model.graph.inputs.map((v) => v.name).join(', ')}) => (${model.graph.outputs.map((v) => v.name).join(', ')})`,
      'initializers: ' +
        `${[...model.graph.initializers]
          .map((v) => `${v.data?.dtype}[${v.data?.dims.join(',')}] ${v.name}`)
          .join('; ')}`,
    ].join('\n');
    expect(after.trim()).toBe(expected(f, 'after', after.trim()));
    expect(String(changes)).toBe(expected(f, 'changes', String(changes)));
    expect(refusals.join('\n')).toBe(expected(f, 'refused', refusals.join('\n')));

    const again = await apply(pass, model);
    expect(again.changes).toBe(0);

    const inputs = model.graph.inputs.map((v) => ({ name: v.name, dtype: v.dtype, shape: v.shape }));
    const feed = randomFeed(inputs, 3, 2);
    const withDefaults = {
      ...randomFeed(
        before.graph.inputs.filter((v) => !v.data).map((v) => ({ name: v.name, dtype: v.dtype, shape: v.shape })),
        3,
        2,
      ),
      ...Object.fromEntries(
        before.graph.inputs
          .filter((v) => v.data)
          .map((v) => [v.name, { dtype: 'float32' as const, dims: v.data!.dims, data: v.data!.f32() }]),
      ),
    };
    const [a, b] = [await outputsOf(before, withDefaults), await outputsOf(model, feed)];
    for (const [name, x] of Object.entries(a)) {
      const y = b[name]!;
      expect(y.dims).toEqual(x.dims);
      // close passes multiply constants out, which moves the last bits; exact ones may not change any.
      const tolerance = pass.numerics === 'exact' ? 0 : 1e-5;
      let worst = 0;
      for (let i = 0; i < x.data.length; i++)
        if (x.data[i] !== y.data[i])
          worst = Math.max(worst, Math.abs(Number(y.data[i]) - Number(x.data[i])) / (1 + Math.abs(Number(x.data[i]))));
      expect(worst).toBeLessThanOrEqual(tolerance);
    }
  });
});
