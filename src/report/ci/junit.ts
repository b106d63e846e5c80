/**
 * The verdict as JUnit XML, as most CI systems show it. There is no standard; this is the common ground that
 * https://github.com/testmoapp/junitxml describes. Some readers (GitLab) drop suite names, properties and the message
 * of a failure, so the numbers stand in the name and the body of each test case.
 */
import type { GateFacts, RuleResult, RunRecord } from '../../record/index.js';
import { VERDICTS } from '../summary.js';
import { asChange, isNumber, percent, plain, real, visible } from '../text.js';

/**
 * One test case a rule. Rules that fail or are undecided are failures, told apart by their type; a run that broke off
 * is an error.
 */
export function renderJunit(record: RunRecord, gate: GateFacts): string {
  const broken = record.outcome === 'failed';
  const cases = [...gate.rules.map((r) => testcase(r, gate, record)), ...(broken ? [error(record)] : [])];
  const failures = gate.rules.filter((r) => r.verdict !== 'pass').length;
  const counts =
    `tests="${cases.length}" failures="${failures}" errors="${broken ? 1 : 0}" skipped="0" ` +
    `time="${(isNumber(record.durationMs) ? record.durationMs / 1000 : 0).toFixed(3)}"`;
  const properties = [
    ['verdict', gate.verdict],
    ['against', gate.against],
    ['confidence', percent(gate.confidence, 0)],
    ['model', record.model.float.name],
    ['sha256', record.model.float.sha256],
    ['cpu', record.environment.cpu],
    ['onnxruntime', record.environment.onnxruntime],
    ['quantbench', record.quantbench],
  ] as const;
  return `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="quantbench" ${counts}>
  <testsuite name="${xml(record.recipe.name)}" ${counts} timestamp="${xml(record.startedAt)}">
    <properties>
${properties.map(([name, value]) => `      <property name="${name}" value="${xml(value)}"/>`).join('\n')}
    </properties>
${cases.join('\n')}
  </testsuite>
</testsuites>
`;
}

function testcase(r: RuleResult, gate: GateFacts, record: RunRecord): string {
  const open =
    `    <testcase name="${xml(`${r.name}: ${r.text}`)}" ` +
    `classname="${xml(`quantbench.${record.recipe.name}`)}"${
      record.recipe.file === undefined ? '' : ` file="${xml(record.recipe.file)}"`
    } ` +
    `time="0">`;
  const body = xml(`${VERDICTS[r.verdict].word}: ${r.text}\n${numbers(r, gate)}`);
  const inside =
    r.verdict === 'pass'
      ? `<system-out>${body}</system-out>`
      : `<failure message="${xml(r.text)}" ` +
        `type="${r.verdict === 'fail' ? 'gate-failed' : 'gate-undecided'}">${body}</failure>`;
  return `${open}\n      ${inside}\n    </testcase>`;
}

function numbers(rule: RuleResult, gate: GateFacts): string {
  const r = asChange(rule);
  const of = r.sign === undefined ? '' : 'change ';
  const unit = r.unit === undefined ? '' : ` ${r.unit}`;
  return [
    isNumber(r.observed) && `observed ${of}${real(r.observed)}${unit}`,
    r.interval && `${percent(gate.confidence, 0)} interval ${real(r.interval[0])} to ${real(r.interval[1])}`,
    isNumber(r.limit) && `limit ${real(r.limit)}${unit}`,
    r.samples !== undefined && `samples ${plain(r.samples)}`,
    r.samplesNeeded !== undefined && `samples needed ${plain(r.samplesNeeded)}`,
    `against ${gate.against}`,
  ]
    .filter(Boolean)
    .join(', ');
}

function error(record: RunRecord): string {
  const cause = record.diagnostics.find((d) => d.severity === 'error');
  const message = cause?.message ?? 'the run failed';
  return (
    `    <testcase name="${xml(`run: ${message}`)}" classname="${xml(`quantbench.${record.recipe.name}`)}" ` +
    `time="0">\n      <error message="${xml(message)}" type="${xml(cause?.code ?? 'failed')}"/>\n    </testcase>`
  );
}

/** Text of XML 1.0, which has no place for most control characters, even as references; they are shown as ‹U+0007›. */
const xml = (s: string): string =>
  s
    .split('\n')
    .map((line) => visible(line, 2000))
    .join('\n')
    .replace(/[\ufffe\uffff]/g, (c) => `‹U+${c.charCodeAt(0).toString(16).toUpperCase()}›`)
    .replace(/[&<>"'\n]/g, (c) => (c === '\n' ? '&#10;' : `&#${c.charCodeAt(0)};`));
