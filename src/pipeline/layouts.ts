/** Folders for libraries of language models: of one run beside its model, and of several runs together. */
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { fail } from '../base/errors.js';
import { writeFileAtomic } from '../base/files.js';
import { refuseOverwriting } from '../base/outputs.js';
import type { Model } from '../ir/model.js';
import { genaiConfig } from '../layouts/genai.js';
import { dtypeOf, fileOf, holdsSeveral, type Layout } from '../layouts/names.js';
import { BESIDE, folderOf, readOrigin, type OriginFolder } from '../layouts/origin.js';
import { writeLayout, type LaidOut } from '../layouts/write.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import type { LayoutFacts, RunRecord } from '../record/index.js';
import { mainFile } from '../record/main-file.js';
import { publish, stagingDir } from './staging.js';
import { isForRuntime } from './target-of.js';
import type { MeasuredVariant } from './variant/types.js';

export interface LayoutAsk {
  readonly layout: Layout;
  /** The folder of the original. */
  readonly from: string;
}

/** The folder that a recipe asks for. */
export function layoutOf({ recipe, baseDir }: ResolvedRecipe): LayoutAsk | undefined {
  const { layout, from } = recipe.export;
  if (layout === undefined) return undefined;
  return {
    layout,
    from: from === undefined ? folderOf(path.resolve(baseDir, recipe.model ?? '')) : path.resolve(baseDir, from),
  };
}

const originOf = ({ from }: LayoutAsk): OriginFolder =>
  readOrigin(from, 'set export.from to the folder of the float model: it has config.json and the tokenizer');

/**
 * Before any work: throws RECIPE_INVALID for a runtime that loads no ONNX model, DATA_MISSING and DATA_FORMAT where the
 * original's configuration is not there, MODEL_UNSUPPORTED for a model that the library does not run, and OUTPUT_WRITE
 * where the folder would overwrite the original's.
 */
export function assertLaysOut({ recipe, outDir }: { recipe: ResolvedRecipe; outDir: string }, model: Model): void {
  const ask = layoutOf(recipe);
  if (!ask) return;
  if (isForRuntime(recipe))
    fail(
      'RECIPE_INVALID',
      `export.layout: ${ask.layout} holds ONNX models, and ${recipe.recipe.target} gets a folder of its own`,
      {},
      'leave out export.layout, or the target',
    );
  const folder = originOf(ask);
  if (!holdsSeveral(ask.layout)) genaiConfig(folder, model, '');
  refuseOverwriting(written(path.join(outDir, ask.layout), ask.layout, []), inputsOf(ask.from));
}

const written = (out: string, layout: Layout, models: readonly string[]): string[] =>
  ['config.json', 'README.md', ...(holdsSeveral(layout) ? [] : ['genai_config.json']), ...BESIDE, ...models].map(
    (name) => path.join(out, name),
  );
const inputsOf = (from: string): string[] => ['config.json', 'README.md', ...BESIDE].map((n) => path.join(from, n));

const shardSpec = z.object({ export: z.object({ shardSize: z.number() }) });
const givenOf = (
  folder: string,
  record: Pick<RunRecord, 'files' | 'recipe'>,
): Parameters<typeof writeLayout>[0][0] => ({
  model: path.join(folder, mainFile(record.files).path),
  dtype: dtypeOf(record.recipe.resolved),
  shardBytes: shardSpec.safeParse(record.recipe.resolved).data?.export.shardSize,
});

const factsOf = (layout: Layout, { origin }: OriginFolder, { variants }: LaidOut): LayoutFacts => ({
  name: layout,
  variants: variants.map(({ dtype, file, bytes }) => ({ dtype, file, bytes })),
  origin: { ...origin },
});

/** Writes the folder that the recipe of a run asks for into what the run will publish. */
export function layOutVariant(v: MeasuredVariant): LayoutFacts {
  const ask = layoutOf(v.recipe) ?? fail('INTERNAL', 'bug in quantbench: a folder is written that no recipe asks for');
  const folder = originOf(ask);
  const given = {
    model: v.folder.model,
    dtype: dtypeOf(v.recipe.recipe),
    shardBytes: v.recipe.recipe.export.shardSize,
  };
  const laid = writeLayout([given], { ...ask, folder, place: v.folder.inside(ask.layout) });
  return factsOf(ask.layout, folder, laid);
}

/**
 * Writes finished runs as one folder, `out`: beside it first, then file by file, so that no model is ever there without
 * its data. What else lies in the folder stays. `readme` gives its README.md. Throws DATA_MISSING, DATA_FORMAT, USAGE
 * where runs do not fit the layout, OUTPUT_WRITE, and what loading throws.
 */
export function layOutRuns(
  runs: readonly { readonly folder: string; readonly record: RunRecord }[],
  { out, readme, ...ask }: LayoutAsk & { readonly out: string; readonly readme?: (facts: LayoutFacts) => string },
): { readonly facts: LayoutFacts; readonly files: readonly string[] } {
  const folder = readOrigin(
    ask.from,
    'give the folder of the float model with --from: it has config.json and the tokenizer beside the model',
  );
  const given = runs.map(({ folder: run, record }) => givenOf(run, record));
  const models = given.map((g) => fileOf(ask.layout, g.dtype));
  refuseOverwriting(written(out, ask.layout, models), [...inputsOf(ask.from), ...given.map((g) => g.model)]);
  const place = stagingDir(out);
  try {
    const laid = writeLayout(given, { ...ask, folder, place });
    const facts = factsOf(ask.layout, folder, laid);
    const files = [...laid.files];
    if (readme) {
      writeFileAtomic(path.join(place, 'README.md'), readme(facts));
      files.push('README.md');
    }
    for (const v of laid.variants) forget(out, v.file);
    publish(place, out, files);
    return { facts, files };
  } finally {
    rmSync(place, { recursive: true, force: true });
    if (existsSync(out) && !readdirSync(out).length) rmdirSync(out);
  }
}

/** Takes away a model of an earlier call and its data: names are the same, and it must not be read with new data. */
function forget(out: string, model: string): void {
  const at = path.join(out, model);
  const folder = path.dirname(at);
  mkdirSync(folder, { recursive: true });
  rmSync(at, { force: true });
  const data = new RegExp(`^${path.basename(at).replace(/[.]/g, '\\.')}[._]data(_\\d+)?$`);
  for (const name of readdirSync(folder)) if (data.test(name)) rmSync(path.join(folder, name), { force: true });
}

/** The folder that all of these recipes can share: asked for by all alike, with a model of each. */
export function sharedLayout(recipes: readonly ResolvedRecipe[]): LayoutAsk | undefined {
  const [first, ...rest] = recipes.map(layoutOf);
  if (!first || !rest.length || !holdsSeveral(first.layout)) return undefined;
  if (!rest.every((r) => r?.layout === first.layout && r.from === first.from)) return undefined;
  const types = new Set(recipes.map((r) => dtypeOf(r.recipe)));
  return types.size === recipes.length ? first : undefined;
}
