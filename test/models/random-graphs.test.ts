/**
 * Random models through `quantize optimize`: each stays valid and keeps its outputs in onnxruntime, and a second run
 * finds nothing. Seeds that failed once are their own regression tests, since they are among the first.
 */
import { describe, expect, it } from 'vitest';
import { cloneModel } from '../../src/ir/clone.js';
import type { Feed } from '../../src/ir/feed.js';
import type { Model } from '../../src/ir/model.js';
import { printModel } from '../../src/ir/text/print.js';
import { verify } from '../../src/ir/verify.js';
import type { OptimizeLevel } from '../../src/passes/presets.js';
import { randomFeed } from '../../src/pipeline/feeds.js';
import { countNodes } from '../../src/ir/count.js';
import { optimizeGraph } from '../../src/standalone/optimize.js';
import { difference, TOLERANCE } from '../../src/standalone/same-outputs.js';
import { openModel } from '../../src/runtime/open.js';
import { OPEN_SIZE, opsOf, randomModel } from './random-graph.js';

const GRAPHS = Number(process.env['QUANTBENCH_RANDOM_GRAPHS'] ?? 2400);
const LEVELS: readonly OptimizeLevel[] = ['basic', 'default', 'aggressive'];

async function run(model: Model, feed: Feed): Promise<Feed> {
  const session = await openModel(model, { optimization: 'disabled' });
  try {
    return await session.run(feed);
  } finally {
    await session.close();
  }
}

/** What went wrong with one seed at a level, or undefined; and by how much the graph shrank. */
async function check(
  seed: number,
  level: OptimizeLevel,
): Promise<{ problem?: string; before: number; after: number; ops: Set<string> }> {
  const model = randomModel(seed, { smooth: level !== 'basic' });
  const ops = opsOf(model);
  const original = cloneModel(model).model;
  const [before, text] = [countNodes(model), printModel(model, { maxElements: 8 })];
  const broken = (what: string): string => `seed ${seed}, ${level}: ${what}\n${text}`;
  const invalid = verify(model)[0];
  if (invalid)
    return { problem: broken(`the generator made an invalid model: ${invalid.message}`), before, after: before, ops };
  try {
    await optimizeGraph(model, { level });
    const after = countNodes(model);
    const found = verify(model)[0];
    if (found) return { problem: broken(found.message), before, after, ops };
    const feed = randomFeed(
      original.graph.inputs.map((v) => ({ name: v.name, dtype: v.dtype, shape: v.shape })),
      seed,
      OPEN_SIZE,
    );
    // Defaults that were fixed take the value that they had.
    const fixed = Object.fromEntries(
      original.graph.inputs.flatMap((v) =>
        v.data && !model.graph.inputs.some((o) => o.name === v.name)
          ? [[v.name, { dtype: 'float32' as const, dims: v.data.dims, data: v.data.f32() }]]
          : [],
      ),
    );
    const expected = await run(original, { ...feed, ...fixed });
    const different = difference(expected, await run(model, feed));
    if (different.error > TOLERANCE)
      return {
        problem: broken(
          `'${different.output}' differs by ${different.error}\n${printModel(model, { maxElements: 8 })}`,
        ),
        before,
        after,
        ops,
      };
    const again = await optimizeGraph(model, { level });
    const changed = again.filter((t) => t.changes > 0);
    if (changed.length)
      return {
        problem: broken(
          `a second run changed ${changed.map((t) => `${t.pass} ${t.changes}`).join(', ')}\n` +
            `${printModel(model, { maxElements: 8 })}`,
        ),
        before,
        after,
        ops,
      };
    return { before, after, ops };
  } catch (e) {
    return { problem: broken((e as Error).stack ?? String(e)), before, after: before, ops };
  }
}

describe('random models', () => {
  it(`${GRAPHS} at every level keep their outputs, stay valid, and are left alone the second time`, async () => {
    const problems: string[] = [];
    const seen = new Map<string, number>();
    let [before, after] = [0, 0];
    for (let seed = 0; seed < GRAPHS; seed++) {
      for (const level of LEVELS) {
        const result = await check(seed, level);
        if (result.problem) problems.push(result.problem);
        before += result.before;
        after += result.after;
        for (const op of result.ops) seen.set(op, (seen.get(op) ?? 0) + 1);
      }
    }
    expect(problems.slice(0, 3).join('\n\n')).toBe('');
    expect(problems).toHaveLength(0);
    expect(after / before).toBeLessThan(0.7); // what the generator plants is found
    for (const op of [
      'If',
      'Loop',
      'Cast',
      'Pad',
      'Slice',
      'Split',
      'Concat',
      'Resize',
      'Conv',
      'QuantizeLinear',
      'Where',
      'Transpose',
      'Reshape',
      'Squeeze',
      'Clip',
    ])
      expect(seen.get(op) ?? 0, op).toBeGreaterThan(GRAPHS / 100);
  });
});
