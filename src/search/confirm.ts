/** The end of `quantize auto`: looks at the held-out samples, and what is written. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { fail } from '../base/errors.js';
import { writeFileAtomic } from '../base/files.js';
import { secondsText } from '../base/text.js';
import { judgeRun } from '../gate/index.js';
import { derive, resolveRecipe, type ResolvedRecipe } from '../recipe/load.js';
import type { RecipeInput } from '../recipe/schema.js';
import type { LatencyFacts, RunRecord, SearchFacts } from '../record/index.js';
import { FOUND_RECIPE } from '../pipeline/overwriting.js';
import { sectionsOf, type Candidate } from './candidates.js';
import { comparedMetric } from '../compare/noise.js';
import { runRecipes } from '../pipeline/run.js';
import type { Ledger } from './ledger.js';
import type { AutoOptions, AutoResult, SearchSetting } from './types.js';
import { publishMade } from '../pipeline/output-folder.js';
import { stagingDir } from '../pipeline/staging.js';
import { largerTies } from './order.js';
import type { Tried } from './trials.js';

/** Looks at the held-out part: each more widens the intervals. */
const LOOKS = 3;
/** Share of the time budget that the last step may take over it: a look that is begun is worth ending. */
const OVERTIME = 0.05;

/**
 * Makes the best recipe once more and looks at it on the held-out part; where it misses the limit, the next that is
 * closer to float. What keeps the limit goes to the output folder, else the best that was looked at to its folder
 * best-found.
 */
export async function confirm(
  o: AutoOptions,
  search: Ledger,
  { share, samples, folder: staging, stage, forecast }: SearchSetting,
): Promise<AutoResult> {
  const { latency } = o.base.recipe.evaluation;
  const runs = latency === false ? 0 : latency.runs;
  const order = search.ranked();
  const closest =
    search.closest() ??
    fail('QUANTIZE_VERIFY', 'no recipe ran on the search part', {}, 'look at the recipe alone: quantize --recipe');
  const limit = search.limit!; // a trial ran, so there is one
  const looks: (SearchFacts['heldOut'][number] & {
    readonly folder: string;
    readonly record: RunRecord;
    readonly label: string;
    readonly made: ResolvedRecipe;
  })[] = [];
  // Where all that keep the limit are slower than float, the fastest of them is shown, but not shipped.
  const [fastest] = [...search.keeping()].sort((a, b) => (a.latencyRatio ?? Infinity) - (b.latencyRatio ?? Infinity));
  const queue = order.length ? order : [fastest ?? closest];
  let current: Tried | undefined = queue[0];
  while (current && looks.length < LOOKS) {
    const tried: Tried = current;
    const folder = path.join(staging, `held-out-${looks.length}`);
    const needs = forecast.look(tried.candidate, samples, runs);
    if (forecast.left() + OVERTIME * forecast.totalMs < forecast.bare(tried.candidate, samples)) {
      if (!looks.length)
        fail(
          'USAGE',
          `--time-budget ${secondsText(forecast.totalMs)} is too short: ` +
            `${secondsText(Math.max(0, forecast.left()))} are left, and ${tried.label} must be made and looked ` +
            `at on the held-out samples, which takes about ${secondsText(needs)}`,
          {},
          `give more time, such as --time-budget ${Math.ceil((forecast.spent() + 2 * needs) / 1000)}s, or ` +
            'fewer samples with --set evaluation.samples=500',
        );
      search.notes.push(`${tried.label} was not looked at on the held-out part: the time budget left no room for it`);
      break;
    }
    const detail = forecast.left() >= needs; // the record tells less, the model is the same
    if (!detail)
      search.notes.push('the errors and times of single layers were not measured: the time budget was short');
    const made = await finalRecipe(o, tried.candidate, share);
    const started = performance.now();
    const facts = await stage('held out', async () => {
      let found: SearchFacts | undefined;
      let look: SearchFacts['heldOut'][number] | undefined;
      const [result] = await runRecipes({
        runs: [{ recipe: made, outDir: folder }],
        title: made.name,
        detail,
        lookedAt: true,
        ...(o.signal ? { signal: o.signal } : {}),
        ...(o.render ? { render: o.render } : {}),
        onEvent: (e) => {
          if (e.type === 'progress' || (e.type === 'diagnostic' && e.diagnostic.severity !== 'note')) o.onEvent?.(e);
        },
        complete: (own) => {
          look = lookAt(own, tried.label, limit, looks.length + 1, o);
          found = factsOf(o, search, own, tried, limit, [...looks, look], forecast.spent());
          return { ...own, search: found };
        },
      });
      if (!result || result.error) throw result?.error ?? new Error('no result'); // without keepGoing it has thrown
      if (detail) forecast.looked(tried.candidate, samples, performance.now() - started);
      const { record } = result;
      return [{ record, look: look!, found: found! }, look!.text]; // complete() ran before the record was given
    });
    looks.push({ ...facts.look, folder, record: facts.record, made });
    if (facts.look.met) {
      publishRun(folder, o.outDir, facts.record, made, o);
      return { record: facts.record, outDir: o.outDir, search: facts.found };
    }
    // The next is one that moved the outputs less: the objective gives way to the limit. What is too slow gives way to
    // any.
    const missed: Tried = tried;
    const open = queue.filter((t) => !looks.some((l) => l.label === t.label));
    current = facts.look.slower ? open[0] : open.filter((t) => (t.loss ?? Infinity) < (missed.loss ?? Infinity))[0];
  }
  const best = [...looks].sort((a, b) => a.drop - b.drop)[0]!; // at least one look
  const folder = path.join(o.outDir, 'best-found');
  rmSync(stagingDir(folder), { recursive: true, force: true }); // makes the folder, and tells where it cannot
  publishRun(
    best.folder,
    folder,
    best.record,
    await finalRecipe(
      { ...o, outDir: folder },
      search.trials.findLast((t) => t.label === best.label)!.candidate,
      share,
    ),
    o,
  ); // it was looked at
  return { record: best.record, outDir: folder, search: best.record.search! }; // complete() added it
}

/** The recipe of a candidate as a file in the output folder gives it: parsed from the text that is written. */
async function finalRecipe(o: AutoOptions, c: Candidate, share: number): Promise<ResolvedRecipe> {
  const { base } = o;
  const name = `${base.recipe.name ?? base.name} auto`;
  const made = await derive(
    base,
    { ...sectionsOf(c, base.recipe), evaluation: { ...base.recipe.evaluation, searchShare: share } },
    { baseDir: o.outDir, name },
  );
  const moved = await derive(made, {}, { baseDir: o.outDir });
  return resolveRecipe(parse(moved.yaml) as RecipeInput, { baseDir: o.outDir, name }); // the schema checks it
}

function publishRun(from: string, to: string, record: RunRecord, made: ResolvedRecipe, o: AutoOptions): void {
  const lines = made.yaml.split('\n').slice(1).join('\n');
  writeFileAtomic(
    path.join(from, FOUND_RECIPE),
    `# Found by quantize auto; makes the model beside it again, byte for byte: quantize --recipe recipe.yaml\n${lines}`,
  );
  publishMade(from, to, [FOUND_RECIPE, ...Object.keys(o.render?.(record) ?? {}), 'run.json']);
}

/**
 * The verdict on the held-out part; with each look the confidence of the intervals is raised, so that all together err
 * as one would.
 */
function lookAt(
  record: RunRecord,
  label: string,
  limit: number,
  looks: number,
  { objective, proven }: AutoOptions,
): SearchFacts['heldOut'][number] {
  const metric = comparedMetric(record)!; // trials had one
  const drop = (metric.higherIsBetter ? 1 : -1) * ((metric.float ?? NaN) - metric.quantized);
  const judged = record.evaluation?.metrics.length
    ? judgeRun(record, {
        confidence: 1 - 0.05 / looks,
        accuracyDrop: { max: metric.unit === '%' ? `${limit} points` : limit },
      }).rules[0]
    : undefined;
  const verdict = judged?.verdict ?? (drop <= limit ? 'undecided' : 'fail');
  const slower = objective === 'latency' && isSlower(record);
  const met = drop <= limit && (!proven || verdict === 'pass') && !slower;
  const text = judged?.text ?? `${metric.name} ${metric.higherIsBetter ? 'dropped' : 'rose'} by ${drop.toPrecision(3)}`;
  return {
    label,
    drop,
    ...(judged?.interval ? { interval: judged.interval } : {}),
    verdict,
    met,
    ...(slower ? { slower } : {}),
    text,
  };
}

/** Where the speed-up may lie; the measured one alone where too little was measured to tell. */
const speedOf = ({ speedup, speedupInterval }: LatencyFacts): readonly [number, number] =>
  speedupInterval ?? [speedup, speedup];

/** Beyond this a model that was measured to be as fast may be slower all the same. */
const MAY_BE_SLOWER = 0.97;
/**
 * Within the noise of the measurement only what runs the kernels of float counts as no slower than it. What runs others
 * must show it: where the noise hides 3 % or more, float is the safer model.
 */
export function isSlower({ latency, runtime }: RunRecord): boolean {
  if (!latency) return false;
  const sameKernels = runtime?.integerMacsShare === 0;
  const [low, high] = speedOf(latency);
  return sameKernels ? high < 1 : latency.speedup < 1 || low < MAY_BE_SLOWER;
}

function factsOf(
  o: AutoOptions,
  search: Ledger,
  record: RunRecord,
  chosen: Tried,
  limit: number,
  heldOut: SearchFacts['heldOut'],
  ms: number,
): SearchFacts {
  const metric = comparedMetric(record)!; // trials had one
  const last = heldOut.at(-1)!; // at least the one that is asked about
  const floatMs = record.latency?.floatMs.p50;
  const full = Math.max(...search.trials.map((t) => t.samples));
  return {
    objective: o.objective,
    metric: metric.name,
    unit: metric.unit,
    limit,
    limitText: String(o.maxAccuracyDrop),
    timeBudgetMs: o.timeBudgetMs,
    ms,
    searchSamples: full,
    heldOutSamples: record.evaluation?.samples ?? 0,
    ...(floatMs === undefined ? {} : { floatLatencyMs: floatMs }),
    trials: search.trials.map(({ candidate: _c, record: _r, next, ...t }) => ({
      ...t,
      next: t.label === chosen.label && t.round === chosen.round ? 'chosen, and looked at on the held-out part' : next,
    })),
    heldOut: heldOut.map(({ label, drop, interval, verdict, met, slower, text }) => ({
      label,
      drop,
      ...(interval ? { interval } : {}),
      verdict,
      met,
      ...(slower ? { slower } : {}),
      text,
    })),
    chosen: chosen.label,
    outcome: last.met ? 'met' : 'missed',
    sentence: sentenceOf(o, record, chosen, last, ms, largerTies(chosen, search.keeping()).length),
    notes: search.notes,
  };
}

function sentenceOf(
  { objective }: AutoOptions,
  { latency, model }: RunRecord,
  { label }: Tried,
  last: SearchFacts['heldOut'][number],
  ms: number,
  larger: number,
): string {
  const times = latency && `${(1 / latency.speedup).toFixed(2)} × the time of float`;
  if (last.slower && latency && latency.speedup >= 1) {
    const [low, high] = speedOf(latency);
    return (
      `Nothing that keeps the limit is shown to be as fast as float here: ${label}, the fastest that was looked at, ` +
      `takes ${(1 / high).toFixed(2)} to ${(1 / low).toFixed(2)} × the time of float. Ship the float model, search ` +
      'again on an idle machine, or search with --objective size.'
    );
  }
  if (last.slower)
    return (
      `Nothing that keeps the limit is faster than float here: ${label}, the fastest that was looked at, takes ` +
      `${times ?? 'longer'}. Ship the float model, or search with --objective size.`
    );
  if (!last.met)
    return (
      `No recipe is known to keep the limit on the held-out samples; ${label} is the best that was found: ` +
      `${last.text}.`
    );
  const kept =
    'keeps the limit on the held-out ' +
    `samples${
      last.verdict === 'pass' ? ', and the whole interval does' : '; more samples would be needed to prove it'
    }: ` +
    `${last.text}. Found in ${secondsText(ms)}.`;
  // The interval that holds 1 says that the speed is that of float.
  if (objective !== 'latency' || !latency) return `${label} ${kept}`;
  const smallest = larger ? `${label}, the smallest of ${larger + 1} recipes that are equally fast,` : label;
  if (speedOf(latency)[0] > 1) return `${smallest} ${kept}`;
  const size = model.quantized && `, in ${(model.quantized.bytes / model.float.bytes).toFixed(2)} × the size`;
  return `Nothing is clearly faster than float here; ${label} is as fast${size ?? ''}, and ${kept}`;
}
