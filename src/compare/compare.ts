/** Several recipes or finished runs of one model beside each other. */
import { named } from '../base/lists.js';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fail, QuantError } from '../base/errors.js';
import { sha256File } from '../base/files.js';
import { groupBy } from '../base/group.js';
import { version } from '../base/version.js';
import type { GateSettings } from '../gate/index.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import type { CompareRecord, CompareRun, LayoutFacts, RunRecord } from '../record/index.js';
import { readRun } from '../record/read.js';
import { environment } from '../runtime/environment.js';
import { rank, type Finished } from './rank.js';
import { frontOf } from '../pipeline/front-of.js';
import { layOutRuns, sharedLayout, type LayoutAsk } from '../pipeline/layouts.js';
import { runRecipes, type RunListener } from '../pipeline/run.js';

/** A recipe to run into a folder, or the folder of a run that exists. */
export type CompareItem = { readonly recipe: ResolvedRecipe; readonly outDir: string } | { readonly folder: string };
export interface CompareOptions extends RunListener {
  readonly name: string;
  readonly items: readonly CompareItem[];
  /** The folder of the comparison: those of the runs are told relative to it. */
  readonly outDir: string;
  /** What the run to ship must keep; the recipes' own gates come first. */
  readonly limits: GateSettings;
  /** Gives the README.md of the folder that recipes with one `export.layout` share. */
  readonly renderLayout?: (facts: LayoutFacts, records: readonly RunRecord[]) => string;
  /** Runs recipes again whose folder holds their result already. */
  readonly fresh?: boolean;
}

/**
 * Runs what is missing, those recipes together that share their data, and ranks all. A recipe that fails is told of and
 * the others go on. Throws USAGE for runs of different float models, and where every run failed, the first failure.
 */
export async function compareRuns(o: CompareOptions): Promise<{
  record: CompareRecord;
  runs: readonly Finished[];
  /** The folder that all share for a library: its files, relative to the folder of the comparison. */
  layout?: { readonly files: readonly string[] };
}> {
  const startedAt = new Date();
  const notes: string[] = [];
  const done = new Map<CompareItem, RunRecord | QuantError>();
  for (const item of o.items) {
    if ('folder' in item) done.set(item, readRun(item.folder));
    else if (!o.fresh) {
      const earlier = finishedRun(item);
      if (earlier) {
        done.set(item, earlier);
        notes.push(
          `${item.recipe.sweep?.label ?? item.recipe.name}: the run of ${earlier.startedAt} is reused; its ` +
            'latency was measured then',
        );
      }
    }
  }
  const ask = sharedLayout(o.items.flatMap((i) => ('recipe' in i ? [i.recipe] : [])));
  const missing = o.items.filter((i): i is Exclude<CompareItem, { folder: string }> => 'recipe' in i && !done.has(i));
  for (const together of groupBy(missing, (i) => frontOf(i.recipe)).values()) {
    const results = await runRecipes({
      runs: together,
      title: together.length > 1 ? `${together.length} recipes` : together[0]!.recipe.name,
      keepGoing: true,
      detail: together.length === 1,
      ...(ask ? { layouts: false } : {}),
      ...(o.onEvent ? { onEvent: o.onEvent } : {}),
      ...(o.signal ? { signal: o.signal } : {}),
      ...(o.render ? { render: o.render } : {}),
    }); // groups are not empty
    together.forEach((item, i) => {
      const r = results[i]!;
      done.set(item, r.error ?? r.record);
    }); // one for each
  }
  const found = o.items.map((item): Finished => {
    const result = named(done, item); // every item was run or read
    const folder = 'folder' in item ? item.folder : item.outDir;
    const label =
      'recipe' in item
        ? (item.recipe.sweep?.label ?? item.recipe.name)
        : result instanceof QuantError
          ? folder
          : result.recipe.name;
    return result instanceof QuantError ? { label, folder, error: result } : { label, folder, record: result };
  });
  const runs = toldApart(found);
  const records = runs.flatMap((r) => (r.record ? [r.record] : []));
  const first = records[0];
  if (!first) throw runs[0]?.error ?? new QuantError('USAGE', 'there is nothing to compare');
  const other = records.find((r) => r.model.float.sha256 !== first.model.float.sha256);
  if (other)
    fail(
      'USAGE',
      `the runs are of different float models: ${first.model.float.name} (${first.recipe.name}) and ` +
        `${other.model.float.name} (${other.recipe.name})`,
      {},
      'compare runs of one model',
    );
  if (new Set(records.map((r) => r.evaluation?.sampleSet)).size > 1)
    notes.push(
      'the runs were evaluated on different samples: their accuracies are comparable only as far as the samples are',
    );
  if (
    new Set(
      records.map((r) => `${r.environment.cpu} ${r.environment.onnxruntime} ${r.latency?.threads} ${r.latency?.batch}`),
    ).size > 1
  )
    notes.push(
      'latency was measured on different machines, runtimes or settings: compare the speed-ups, not the milliseconds',
    );
  const layout = ask && layOutShared(ask, runs, o);
  const ranked = rank(runs, o.limits);
  const float = first.latency?.floatMs.p50;
  return {
    runs,
    ...(layout ? { layout } : {}),
    record: {
      schema: 1,
      quantbench: version,
      startedAt: startedAt.toISOString(),
      durationMs: Date.now() - startedAt.getTime(),
      name: o.name,
      environment: environment(),
      model: { name: first.model.float.name, sha256: first.model.float.sha256, bytes: first.model.float.bytes },
      float: {
        ...(first.evaluation?.metrics[0]?.float !== undefined ? { metric: first.evaluation.metrics[0].float } : {}),
        ...(float !== undefined ? { latencyMs: float } : {}),
        ...(first.latency?.process ? { peakBytes: first.latency.process.float.peakBytes } : {}),
        ...(first.model.float.macs === undefined ? {} : { macs: first.model.float.macs }),
      },
      ...(first.evaluation ? { samples: first.evaluation.samples } : {}),
      chosenOn: ranked.chosenOn,
      // one for each
      runs: ranked.runs.map((r, i): CompareRun => ({ ...r, folder: path.relative(o.outDir, runs[i]!.folder) || '.' })),
      ...(ranked.chosen ? { chosen: ranked.chosen } : {}),
      notes: [...notes, ...ranked.notes],
    },
  };
}

/** Runs for several runtimes are called by these too, and those that still have one name by their folders. */
function toldApart(runs: readonly Finished[]): Finished[] {
  const targetOf = ({ record }: Finished): string | undefined => record?.target?.name;
  const several = new Set(runs.flatMap((r) => targetOf(r) ?? [])).size > 1;
  const called = runs.map((r): Finished => {
    const target = several ? targetOf(r) : undefined;
    return target === undefined || r.label.includes(target) ? r : { ...r, label: `${r.label} for ${target}` };
  });
  const count = groupBy(called, (r) => r.label);
  return called.map((r) => (named(count, r.label).length > 1 ? { ...r, label: `${r.label} (${r.folder})` } : r));
}

/** Writes what was finished into one folder. */
function layOutShared(
  ask: LayoutAsk,
  runs: readonly Finished[],
  { outDir, renderLayout }: CompareOptions,
): { readonly files: readonly string[] } {
  const made = runs.flatMap(({ folder, record }) => (record ? [{ folder, record }] : []));
  const records = made.map((r) => r.record);
  const out = path.join(outDir, ask.layout);
  const readme = renderLayout && ((facts: LayoutFacts): string => renderLayout(facts, records));
  const { files } = layOutRuns(made, { ...ask, out, ...(readme ? { readme } : {}) });
  return { files: files.map((f) => `${ask.layout}/${f}`) };
}

/** The result that a recipe's folder holds, if it is of this very recipe, model, machine and version, and whole. */
function finishedRun({ recipe, outDir }: Exclude<CompareItem, { folder: string }>): RunRecord | undefined {
  if (!existsSync(path.join(outDir, 'run.json')) || recipe.recipe.model === undefined) return undefined;
  try {
    const record = readRun(outDir);
    const here = environment();
    const same =
      record.recipe.yaml === recipe.yaml &&
      record.quantbench === version &&
      record.outcome === 'ok' &&
      record.environment.cpu === here.cpu &&
      record.environment.onnxruntime === here.onnxruntime &&
      record.model.float.sha256 === sha256File(path.resolve(recipe.baseDir, recipe.recipe.model)) &&
      record.files.length > 0 &&
      record.files.every((f) => sha256File(path.join(outDir, f.path)) === f.sha256);
    return same ? record : undefined;
  } catch (error) {
    if (error instanceof QuantError) return undefined; // what cannot be read is made again
    throw error;
  }
}
