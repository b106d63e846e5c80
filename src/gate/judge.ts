/** The verdict on a run: every limit that is set, judged from the record alone. */
import { fail } from '../base/errors.js';
import type { GateFacts, RuleResult, RunRecord, Verdict } from '../record/index.js';
import { gates } from './gates/index.js';
import { notMeasured } from './rule.js';
import type { GateSettings } from './settings.js';
import type { Gate } from './types.js';

/**
 * Judges a run by its limits: fail where a rule fails, else undecided where one is, else pass. Accuracy, latency, size
 * and memory are compared with the float model, or with the quantized model of `baseline`. `among` are the gates that
 * the settings may name, those of plug-ins too; others are left out. Throws USAGE where no limit is set.
 */
export function judgeRun(
  run: RunRecord,
  settings: GateSettings,
  baseline?: RunRecord,
  among: readonly Gate[] = gates,
): GateFacts {
  const limits: Readonly<Record<string, unknown>> = settings;
  const asked = among.filter((g) => limits[g.name] !== undefined);
  const there = judgedThere(run, settings, among);
  if (!asked.length && !there.length)
    fail('USAGE', 'there is no limit to judge the run by', {}, `set one of ${among.map((g) => g.name).join(', ')}`);
  const failed = [
    ['run', run],
    ['baseline', baseline],
  ].flatMap(([who, record]) =>
    typeof record === 'object' && record.outcome === 'failed'
      ? [notMeasured(String(who), `the ${String(who)} failed`)]
      : [],
  );
  const rules: RuleResult[] = [
    ...failed,
    ...asked.map((g) => g.judge(run, baseline, limits[g.name], settings.confidence)),
    ...there,
  ];
  const verdict: Verdict = rules.some((r) => r.verdict === 'fail')
    ? 'fail'
    : rules.some((r) => r.verdict === 'undecided')
      ? 'undecided'
      : 'pass';
  return {
    verdict,
    confidence: settings.confidence,
    against: baseline ? `${baseline.recipe.name} of ${baseline.startedAt}` : 'float',
    rules,
  };
}

/** Whether settings say anything of a run: limits may be of other runtimes alone. */
export const asksOf = (run: RunRecord, settings: GateSettings, among: readonly Gate[] = gates): boolean =>
  among.some((g) => Object.hasOwn(settings, g.name)) || judgedThere(run, settings, among).length > 0;

/** Limits of the runtime that the run was written for, held against what was measured in it. */
function judgedThere(run: RunRecord, { targets, confidence }: GateSettings, among: readonly Gate[]): RuleResult[] {
  const { target } = run;
  const limits: Readonly<Record<string, unknown>> = (target && targets?.[target.name]) ?? {};
  const { evaluation, latency } = target?.verified ?? {};
  const { evaluation: _e, latency: _l, runtime: _r, ...rest } = run;
  const seen: RunRecord = { ...rest, ...(evaluation ? { evaluation } : {}), ...(latency ? { latency } : {}) };
  return among
    .filter((g) => limits[g.name] !== undefined)
    .map((g): RuleResult => {
      const name = `${target?.name}: ${g.name}`;
      if (!target?.verified)
        return { name, verdict: 'undecided', text: `not verified in ${target?.name}: quantize verify` };
      return { ...g.judge(seen, undefined, limits[g.name], confidence), name };
    });
}

/** Exit code of `quantize` for a verdict: 0 pass, 1 fail, 5 undecided, which is no failure but no proof either. */
export function exitCodeOfVerdict(verdict: Verdict): 0 | 1 | 5 {
  switch (verdict) {
    case 'pass':
      return 0;
    case 'fail':
      return 1;
    case 'undecided':
      return 5;
  }
}
