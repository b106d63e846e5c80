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
  if (!asked.length)
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
