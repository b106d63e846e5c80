/**
 * Each shared model for each runtime: it is written, and keeps the rules of the runtime, or it is refused before any work,
 * with the operator that stands in the way. docs/target-grid.md says which.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { QuantError } from '../../src/base/errors.js';
import { writeModel } from '../../src/formats/write.js';
import type { Feed } from '../../src/ir/feed.js';
import type { Model } from '../../src/ir/model.js';
import { lintModel } from '../../src/lint/index.js';
import { inferShapes } from '../../src/ops/infer.js';
import { randomFeed } from '../../src/pipeline/feeds.js';
import { loadFloatModel, optimizeModel, passesFor, planModel } from '../../src/pipeline/prepare.js';
import { resolveRecipe, type ResolvedRecipe } from '../../src/recipe/load.js';
import { targets } from '../../src/targets/index.js';
import { anyExample } from '../../src/targets/shared/refusals.js';
import type { Target } from '../../src/targets/types.js';
import { anyParams } from './any-params.js';

const FOLDER = path.join(import.meta.dirname, '..', '..', '..', 'shared', 'models');
const PAGE = path.join(import.meta.dirname, '..', '..', 'docs', 'target-grid.md');
const MODELS = [
  'resnet20-cifar10',
  'mlperf-tiny-resnet8-cifar10',
  'ultraface-slim-320',
  'minilm-l6',
  'silero-vad',
  'tinylm',
];

/** What the page says, by model and target. */
function pageOf(text: string): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const rows = text
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim().replaceAll('`', '')),
    );
  const [head = [], ...body] = rows;
  return new Map(
    body.map(([target = '', ...cells]) => [target, new Map(cells.map((c, i) => [head[i + 1] ?? '', c] as const))]),
  );
}

/** Inputs of one run, of any numbers. */
function exampleOf(model: Model): Feed {
  const sizes = anyExample(model);
  const inputs = model.graph.inputs.flatMap((v) =>
    v.data ? [] : [{ name: v.name, dtype: v.dtype ?? 'float32', shape: sizes[v.name]?.dims ?? [] }],
  );
  return randomFeed(inputs, 0);
}

async function outcome(target: Target, model: Model, { recipe }: ResolvedRecipe): Promise<string> {
  const { planned, format } = planModel(model, recipe, () => undefined, { targets: [target] });
  const refused = target.emitter?.refuses({ model, planned }) ?? [];
  const [first] = refused;
  if (first) {
    expect(first.because.length, first.node).toBeGreaterThan(5);
    return `refused: ${[...new Set(refused.map((r) => r.op))].sort().join(', ')}`;
  }
  const graph = { model, planned, params: anyParams(planned), seed: 0 };
  const onnx = writeModel(format, graph, target).model;
  const example = exampleOf(model);
  const samples = async function* (): AsyncGenerator<Feed> {
    yield example;
  };
  const given = { graph, onnx, example, samples, latency: new Map<number, number>(), name: 'm' };
  const emitted = await target.emitter?.emit({ ...given, precision: 'float32' });
  for (const f of emitted?.files ?? []) expect(f.data.length, f.path).toBeGreaterThan(0);
  if (target.artefact === 'onnx' && format.name === 'qdq') {
    const broken = lintModel(onnx, target).filter((f) => f.severity === 'error');
    if (broken.length) return `breaks ${[...new Set(broken.map((f) => f.rule))].sort().join(', ')}`;
  }
  return 'written';
}

describe.skipIf(!existsSync(FOLDER))('shared models (skipped where ../shared is absent)', () => {
  const said = existsSync(PAGE) ? pageOf(readFileSync(PAGE, 'utf8')) : new Map<string, ReadonlyMap<string, string>>();
  it.each(MODELS)('%s', async (name) => {
    const file = path.join(FOLDER, `${name}.onnx`);
    const found: Record<string, string> = {};
    for (const target of targets) {
      const recipe = await resolveRecipe({
        version: 1,
        model: file,
        target: target.name,
        calibration: { data: { npy: 'x.npy' } },
        quantize: { format: target.formats.includes('qdq') ? 'qdq' : 'float16' },
      });
      const model = loadFloatModel(file);
      await optimizeModel(model, file, recipe.recipe.optimize, () => undefined, { among: passesFor(recipe) });
      inferShapes(model);
      try {
        found[target.name] = await outcome(target, model, recipe);
      } catch (error) {
        if (!(error instanceof QuantError)) throw error;
        const late = error.code === 'EXPORT_UNSUPPORTED' && error.where.node !== undefined;
        found[target.name] = late ? `refused when written: ${error.where.node}` : `${error.code}: ${error.message}`;
      }
    }
    if (process.env.SHOW_GRID) console.log(name, JSON.stringify(found, undefined, 1));
    expect(found).toEqual(Object.fromEntries(targets.map((t) => [t.name, said.get(t.name)?.get(name)])));
  });
  it('has a row for each target, in the page', () => {
    expect([...said.keys()]).toEqual(targets.map((t) => t.name));
  });
});
