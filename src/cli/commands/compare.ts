/** `quantize compare`, and `quantize --recipe` for a sweep: several recipes or runs of one model beside each other. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fail } from '../../base/errors.js';
import { writeFileAtomic } from '../../base/files.js';
import { refuseOverwriting } from '../../base/outputs.js';
import { metrics } from '../../evaluate/metrics/index.js';
import type { GateSettings } from '../../gate/index.js';
import { misfit } from '../../gate/units.js';
import type { CompareItem } from '../../compare/compare.js';
import { inputFiles } from '../../recipe/inputs.js';
import { loadRecipes, type RecipeOverrides, type ResolvedRecipe } from '../../recipe/load.js';
import type { CompareRecord } from '../../record/index.js';
import type { CommandContext } from '../context.js';
import { openProgress } from '../progress.js';
import { table } from '../layout.js';
import { paint, type Terminal } from '../terminal.js';
import { folderName } from '../folder-name.js';

export interface CompareFlags {
  readonly model?: string;
  readonly calibrationData?: string;
  readonly evaluationData?: string;
  readonly out?: string;
  readonly name?: string;
  readonly set?: readonly string[];
  readonly fresh?: true;
  readonly maxAccuracyDrop?: string;
  readonly maxLatencyRatio?: string;
  readonly maxSizeRatio?: string;
  readonly json?: true;
  readonly quiet?: true;
}

/**
 * Throws QuantError; gives exit code 0, or 1 where limits were given and no run is proven to keep them (5: undecided).
 */
export async function compare(
  targets: readonly string[],
  flags: CompareFlags,
  context: CommandContext,
): Promise<number> {
  const model = targets.find((t) => /\.(onnx|ort)$/i.test(t));
  if (model !== undefined)
    fail(
      'USAGE',
      `compare wants recipes and output folders of runs, but '${model}' is a model`,
      { file: model },
      'quantize evaluate A.onnx B.onnx --data FOLDER compares the accuracy of models, quantize bench A.onnx ' +
        'B.onnx their latency',
    );
  const overrides: RecipeOverrides = {
    set: flags.set ?? [],
    ...(flags.model === undefined ? {} : { model: flags.model }),
    ...(flags.calibrationData === undefined ? {} : { calibrationData: flags.calibrationData }),
    ...(flags.evaluationData === undefined ? {} : { evaluationData: flags.evaluationData }),
  };
  const loaded: (ResolvedRecipe | string)[] = [];
  for (const target of targets)
    loaded.push(...(/\.ya?ml$/i.test(target) ? await loadRecipes(target, overrides) : [target]));
  const sweeps = new Set(loaded.map((l) => (typeof l === 'string' ? undefined : l.sweep?.name)));
  const [only] = sweeps;
  return compareLoaded(
    loaded,
    flags.name ?? (sweeps.size === 1 && only !== undefined ? only : 'compare'),
    flags,
    context,
  );
}

/** The same for recipes that were loaded, and folders of runs. */
export async function compareLoaded(
  loaded: readonly (ResolvedRecipe | string)[],
  name: string,
  flags: CompareFlags,
  { terminal, signal }: CommandContext,
): Promise<number> {
  const outDir = flags.out ?? path.join('reports', folderName(name));
  const read = loaded.flatMap((l) => (typeof l === 'string' ? [l, path.join(l, 'run.json')] : inputFiles(l)));
  refuseOverwriting(
    ['compare.html', 'compare.md', 'compare.json'].map((f) => path.join(outDir, f)),
    read,
  );
  const taken = new Set<string>();
  const items = loaded.map((l): CompareItem => {
    if (typeof l === 'string') return { folder: l };
    const base = folderName(l.sweep?.label ?? l.name);
    let folder = base;
    for (let i = 2; taken.has(folder); i++) folder = `${base}-${i}`; // two recipes of one name
    taken.add(folder);
    return { recipe: l, outDir: path.join(outDir, folder) };
  });
  const [{ compareRuns }, { gateSpec }, report] = await Promise.all([
    import('../../compare/compare.js'),
    import('../../gate/index.js'),
    import('../../report/index.js'),
  ]);
  const asked = Object.fromEntries(
    Object.entries({
      accuracyDrop: flags.maxAccuracyDrop,
      latencyRatio: flags.maxLatencyRatio,
      sizeRatio: flags.maxSizeRatio,
    }).flatMap(([key, max]) => (max === undefined ? [] : [[key, { max }]])),
  );
  const parsed = gateSpec.safeParse(Object.keys(asked).length ? asked : { accuracyDrop: { max: DEFAULT_DROP } });
  if (!parsed.success)
    fail(
      'USAGE',
      parsed.error.issues.map((i) => i.message).join('; '),
      {},
      '--max-accuracy-drop 0.5%, --max-latency-ratio 0.8, --max-size-ratio 0.3',
    );
  const limits: GateSettings = parsed.data;
  const named =
    loaded.map((l) => (typeof l === 'string' ? undefined : l.recipe.evaluation.metrics)).find((m) => m !== undefined) ??
    [];
  const odd = misfit(
    limits,
    named.flatMap((m) => metrics.find((x) => 'name' in m && x.name === m.name) ?? []),
  );
  if (odd) fail('USAGE', `--max-accuracy-drop: ${odd.message}`);
  const progress = flags.quiet ? undefined : await openProgress(terminal);
  try {
    const { record, layout } = await compareRuns({
      name,
      items,
      outDir,
      limits,
      signal,
      fresh: flags.fresh === true,
      ...(progress ? { onEvent: progress.onEvent } : {}),
      render: report.renderFiles,
      renderLayout: (facts, records) => (records[0] ? report.renderModelCard(records[0], { facts, records }) : ''),
    });
    progress?.close();
    mkdirSync(outDir, { recursive: true });
    const texts = {
      'compare.html': report.renderCompareHtml(record),
      'compare.md': report.renderCompareMarkdown(record),
      'compare.json': `${JSON.stringify(record, null, 1)}\n`,
    };
    for (const [file, text] of Object.entries(texts)) writeFileAtomic(path.join(outDir, file), text);
    if (flags.json) terminal.data(texts['compare.json']);
    else {
      if (!flags.quiet) say(record, terminal);
      terminal.data(
        [...(layout?.files ?? []), ...Object.keys(texts)].map((file) => `${path.join(outDir, file)}\n`).join(''),
      );
    }
    const gated =
      Object.keys(asked).length > 0 || loaded.some((l) => typeof l !== 'string' && l.recipe.gate !== undefined);
    if (!gated || record.chosen) return 0;
    return record.runs.some((r) => r.gate?.verdict === 'undecided') ? 5 : 1;
  } finally {
    progress?.close();
  }
}

/** 99 % of the float model's accuracy, as the closed division of MLPerf asks. */
const DEFAULT_DROP = '1% relative';

function say(record: CompareRecord, terminal: Terminal): void {
  const p = paint(terminal);
  const number = (x: number | undefined, digits: number, unit = ''): string =>
    x === undefined ? '–' : `${x.toFixed(digits)}${unit}`;
  const rows = record.runs.map((r) => [
    r.label,
    r.outcome === 'failed' ? 'failed' : number(r.metric?.quantized, r.metric?.unit === '%' ? 2 : 4),
    number(r.metric?.change, r.metric?.unit === '%' ? 2 : 4),
    number(r.latencyMs, 3, ' ms'),
    number(r.speedup, 2, ' ×'),
    number(r.sizeRatio, 2, ' ×'),
    number(r.peakBytes === undefined ? undefined : r.peakBytes / 1e6, 0, ' MB'),
    r.gate?.verdict.toUpperCase() ?? '',
    r.front ? 'front' : '',
    r.error ?? r.summary,
  ]);
  const metric = record.runs.find((r) => r.metric)?.metric?.name ?? 'accuracy';
  const [head = '', ...body] = table(
    [['', metric, 'change', 'p50', 'speed-up', 'size', 'peak', 'limits', '', ''], ...rows],
    [1, 2, 3, 4, 5, 6],
    { columns: terminal.columns, indent: 2, drop: [6, 8, 3, 7] },
  );
  terminal.say('');
  terminal.say(p.bold(head));
  body.forEach((line, i) =>
    terminal.say(
      record.runs[i]?.outcome === 'failed'
        ? p.red(line)
        : record.runs[i]?.label === record.chosen?.label
          ? p.green(line)
          : line,
    ),
  );
  terminal.say('');
  if (record.chosen) terminal.say(`  ${p.bold(record.chosen.sentence)}`);
  for (const note of record.notes) terminal.say(`  ${p.dim(note)}`);
  terminal.say('');
}
