/** JUnit XML, one test case a rule. CI servers show names and bodies, and often nothing else, so both hold the numbers. Source: https://github.com/testmoapp/junitxml. */
import type { GateFacts, RuleResult, RunRecord } from '../../record/index.js';

export function renderJunit(record: RunRecord, gate: GateFacts): string {
  const count = (verdict: RuleResult['verdict']): number => gate.rules.filter((r) => r.verdict === verdict).length;
  const totals = `tests="${gate.rules.length}" failures="${count('fail')}" errors="0" skipped="${count('undecided')}" time="${(record.durationMs / 1000).toFixed(3)}"`;
  const cases = gate.rules.map((r) => {
    const open = `    <testcase classname="quantbench.gate" name="${xml(`${r.name}: ${r.text}`)}" time="0"`;
    if (r.verdict === 'pass') return `${open}/>`;
    // Undecided is neither: CI shows it as skipped, and the exit code 5 tells it apart.
    const kind = r.verdict === 'fail' ? 'failure' : 'skipped';
    return `${open}>\n      <${kind} message="${xml(r.text)}"${kind === 'failure' ? ' type="gate"' : ''}>${xml(r.text)}</${kind}>\n    </testcase>`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="quantbench" ${totals}>\n  <testsuite name="${xml(`quantbench gate: ${record.recipe.name}`)}" timestamp="${xml(record.startedAt)}" ${totals}>\n${cases.join('\n')}\n  </testsuite>\n</testsuites>\n`;
}

const NAMED: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', '\n': '&#10;', '\t': '&#9;' };
/** Text for attributes and bodies; what XML 1.0 cannot hold becomes U+FFFD. */
const xml = (text: string): string => text.replace(/[^\t\n\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd').replace(/[&<>"\n\t]/g, (c) => NAMED[c] ?? c);
