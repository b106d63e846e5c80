/** `quantize gate`: the verdict on a run, for people and for CI. */
import { item } from '../../base/lists.js';
import { appendFileSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fail } from '../../base/errors.js';
import { reason, writeFileAtomic } from '../../base/files.js';
import { refuseOverwriting } from '../../base/outputs.js';
import { exitCodeOfVerdict, judgeRun, type GateSettings } from '../../gate/index.js';
import { increaseOf } from '../../gate/limits.js';
import { misfit } from '../../gate/units.js';
import { metricHint } from '../../recipe/complaints.js';
import { namedParts } from '../../recipe/parts.js';
import { loadPlugins, type Plugins } from '../../recipe/plugins.js';
import { readRun } from '../../record/read.js';
import type { GateFacts, RunRecord } from '../../record/index.js';
import type { CommandContext } from '../context.js';
import { wantRun } from '../targets.js';
import { table } from '../layout.js';

export interface GateFlags {
  readonly baseline?: string;
  readonly maxAccuracyDrop?: string;
  readonly maxPerplexityIncrease?: string;
  readonly maxLatencyRatio?: string;
  readonly maxSizeRatio?: string;
  readonly confidence?: string;
  readonly metric?: string;
  readonly plugin?: readonly string[];
  readonly save?: true;
  readonly junit?: string;
  readonly markdown?: string;
  readonly json?: true;
  readonly quiet?: true;
}

/**
 * Gives 0 pass, 1 fail, 5 undecided. Throws USAGE for wrong or missing limits, DATA_MISSING and DATA_FORMAT for bad
 * records, OUTPUT_WRITE.
 */
export async function gate(target: string, flags: GateFlags, { terminal }: CommandContext): Promise<number> {
  for (const t of [target, flags.baseline]) if (t !== undefined) wantRun(t, 'gate');
  const written = [flags.junit, flags.markdown].filter((f) => f !== undefined);
  refuseOverwriting(
    written,
    [target, flags.baseline].flatMap((t) => (t === undefined ? [] : [t, path.join(t, 'run.json')])),
  );
  const run = readRun(target);
  const baseline = flags.baseline === undefined ? undefined : readRun(flags.baseline);
  const plugins = await loadPlugins(flags.plugin ?? []);
  const settings = settingsOf(run, target, flags, plugins);
  const measured = run.evaluation?.metrics ?? [];
  const odd = misfit(settings, measured);
  if (odd)
    fail(
      'USAGE',
      `${FLAGS[odd.key === 'metric' ? 'metric' : odd.rule] ?? odd.rule}: ${odd.message}`,
      {},
      odd.key === 'metric' ? (metricHint(settings[odd.rule]?.metric, measured) ?? 'name one of them') : undefined,
    );
  const facts = judgeRun(run, settings, baseline, plugins.gates);
  const { renderAnnotations, renderJunit, renderStepSummary } = await import('../../report/index.js');
  if (flags.save) save(target, facts);
  if (flags.junit !== undefined) writeFileAtomic(flags.junit, renderJunit(run, facts));
  if (flags.markdown !== undefined) writeFileAtomic(flags.markdown, renderStepSummary(run, facts));
  const { GITHUB_STEP_SUMMARY: summary, GITHUB_ACTIONS: actions } = process.env;
  if (summary) {
    try {
      appendFileSync(summary, renderStepSummary(run, facts));
    } catch (error) {
      fail(
        'OUTPUT_WRITE',
        `cannot append to '${summary}', which GITHUB_STEP_SUMMARY names: ${reason(error)}`,
        { file: summary },
        undefined,
        error,
      );
    }
  }
  // GitHub reads workflow commands from stderr too, which leaves stdout to the data.
  const annotations = actions === 'true' ? renderAnnotations(run, facts).trimEnd() : '';
  if (annotations) terminal.say(annotations);
  terminal.data(
    flags.json
      ? `${JSON.stringify(facts, null, 1)}\n`
      : `${linesOf(run, facts, flags.quiet === true, terminal.dataColumns).join('\n')}\n`,
  );
  return exitCodeOfVerdict(facts.verdict);
}

/** One line a rule, the verdict last. */
export function linesOf(run: RunRecord, facts: GateFacts, verdictOnly = false, columns = Infinity): string[] {
  const word = (verdict: string): string => verdict.toUpperCase();
  const rules = verdictOnly
    ? []
    : table(
        facts.rules.map((r) => [word(r.verdict), r.name, r.text]),
        [],
        { columns },
      );
  const of = facts.rules.filter((r) => r.verdict === facts.verdict).length;
  return [
    ...rules,
    ...table([
      [
        `${word(facts.verdict)}  ${run.recipe.name} against ${facts.against}: ${of} of ${facts.rules.length} ` +
          `rules ${facts.verdict === 'undecided' ? 'are undecided' : facts.verdict}`,
      ],
    ]),
  ];
}

const FLAGS: Readonly<Record<string, string>> = {
  accuracyDrop: '--max-accuracy-drop',
  latencyRatio: '--max-latency-ratio',
  sizeRatio: '--max-size-ratio',
  confidence: '--confidence',
  metric: '--metric',
};
const METRIC_RULES = ['accuracyDrop', 'classDrop', 'minAccuracy'] as const;

/** The limits of the run's recipe, changed by the flags. */
function settingsOf(run: RunRecord, target: string, flags: GateFlags, plugins: Plugins): GateSettings {
  const inRecipe = gateOf(run, target, plugins);
  const merged: Record<string, unknown> = {
    ...inRecipe,
    ...(flags.confidence === undefined ? {} : { confidence: flags.confidence }),
    ...(flags.maxAccuracyDrop === undefined
      ? {}
      : { accuracyDrop: { ...inRecipe?.accuracyDrop, max: flags.maxAccuracyDrop } }),
    ...(flags.maxPerplexityIncrease === undefined
      ? {}
      : { accuracyDrop: { max: increaseOf(flags.maxPerplexityIncrease), metric: 'perplexity' } }),
    ...(flags.maxLatencyRatio === undefined
      ? {}
      : { latencyRatio: { ...inRecipe?.latencyRatio, max: flags.maxLatencyRatio } }),
    ...(flags.maxSizeRatio === undefined ? {} : { sizeRatio: { max: flags.maxSizeRatio } }),
  };
  if (!Object.keys(merged).some((key) => key !== 'confidence'))
    return fail(
      'USAGE',
      `there is no limit to judge '${target}' by`,
      { file: target },
      'give --max-accuracy-drop 0.5%, --max-latency-ratio 0.8 or --max-size-ratio 0.3, or a gate: section in ' +
        'the recipe of the run',
    );
  if (flags.metric !== undefined) {
    const rules = METRIC_RULES.filter((key) => merged[key] !== undefined);
    if (!rules.length)
      return fail('USAGE', `--metric ${flags.metric} has no limit to belong to`, {}, 'give --max-accuracy-drop too');
    // limits that were found are objects
    for (const key of rules) merged[key] = { ...(merged[key] as object), metric: flags.metric };
  }
  const parsed = namedParts(plugins).gate.safeParse(merged);
  if (parsed.success) return parsed.data;
  const issue = item(parsed.error.issues, 0); // a failure has an issue
  const [rule = '', key] = issue.path.map(String);
  const flag = FLAGS[key === 'metric' ? key : rule] ?? rule;
  const wanted =
    issue.code === 'invalid_union'
      ? issue.errors
          .flat()
          .map((i) => (i.code === 'invalid_format' ? i.message : ''))
          .find(Boolean)
      : issue.message;
  const seen =
    key === 'metric'
      ? flags.metric
      : {
          accuracyDrop: flags.maxAccuracyDrop,
          latencyRatio: flags.maxLatencyRatio,
          sizeRatio: flags.maxSizeRatio,
          confidence: flags.confidence,
        }[rule];
  return fail('USAGE', `${flag} is "${seen ?? ''}"`, {}, wanted ?? issue.message);
}

function gateOf({ recipe }: RunRecord, target: string, plugins: Plugins): GateSettings | undefined {
  const { resolved } = recipe;
  if (typeof resolved !== 'object' || resolved === null || !('gate' in resolved) || resolved.gate === undefined)
    return undefined;
  const parsed = namedParts(plugins).gate.safeParse(resolved.gate);
  if (parsed.success) return parsed.data;
  const given = plugins.files.map((f) => f.sha256);
  const own = (recipe.plugins ?? []).filter(
    (p) => p.adds.some((a) => a.startsWith('gate ')) && !given.includes(p.sha256),
  );
  if (own.length) {
    const hint = 'give the module that the run was made with; it runs with your rights';
    const flags = own.map((p) => `--plugin ${p.file}`).join(' ');
    fail('USAGE', `limits of '${target}' are of a plug-in: pass ${flags}`, { file: target }, hint);
  }
  const key = parsed.error.issues[0]?.path.join('.') ?? '';
  const message = `the recipe in '${target}' has a gate section that this version does not know: ${key}`;
  return fail('DATA_FORMAT', message, { file: target }, 'make the run again with this version');
}

/** Puts the verdict into the file of the record, and leaves the rest of it as it is. */
function save(target: string, facts: GateFacts): void {
  const file = statSync(target).isDirectory() ? path.join(target, 'run.json') : target;
  const record = JSON.parse(readFileSync(file, 'utf8')) as object; // readRun has checked it
  writeFileAtomic(file, `${JSON.stringify({ ...record, gate: facts }, null, 1)}\n`);
}
