/** Workflow commands that GitHub shows beside the files of a pull request. */
import type { GateFacts, RunRecord } from '../../record/index.js';
import { isNumber, revealed } from '../text.js';

/** GitHub shows ten errors and ten warnings of a step and drops the rest. */
const MOST = 10;
const LONGEST = 2000;
type Place = NonNullable<RunRecord['diagnostics'][number]['where']>;
interface Note {
  readonly title: string;
  readonly message: string;
  readonly where: Place;
}

/**
 * Errors for rules that fail and for errors of the run, warnings for rules that are undecided and for warnings of the
 * run; one line each. Source of the form and its escapes:
 * https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
 */
export function renderAnnotations(record: RunRecord, gate: GateFacts): string {
  const recipe: Place = record.recipe.file === undefined ? {} : { file: record.recipe.file };
  const rules = (verdict: 'fail' | 'undecided'): Note[] =>
    gate.rules
      .filter((r) => r.verdict === verdict)
      .map((r) => ({
        title: `${r.name} ${verdict === 'fail' ? 'failed' : 'is undecided'}`,
        message: r.text,
        where: recipe,
      }));
  const findings = (severity: 'error' | 'warning'): Note[] =>
    record.diagnostics
      .filter((d) => d.severity === severity)
      .map((d) => ({
        title: d.code,
        message: [d.message, d.hint].filter(Boolean).join('\n'),
        where: { ...recipe, ...d.where },
      }));
  return [
    ...lines('error', [...rules('fail'), ...findings('error')]),
    ...lines('warning', [...rules('undecided'), ...findings('warning')]),
  ]
    .map((l) => `${l}\n`)
    .join('');
}

function lines(kind: 'error' | 'warning', notes: readonly Note[]): string[] {
  const shown = notes.length > MOST ? notes.slice(0, MOST - 1) : notes;
  const more = notes.length - shown.length;
  return [
    ...shown.map((n) => command(kind, n)),
    ...(more ? [command(kind, { title: 'quantbench', message: `${more} ${kind}s more in report.md`, where: {} })] : []),
  ];
}

function command(kind: string, { title, message, where }: Note): string {
  const at = [
    ['file', where.file],
    ['line', where.line],
    ['col', where.column],
    ['title', title],
  ] as const;
  const properties = at
    .filter(
      ([key, value]) =>
        value !== undefined &&
        (typeof value === 'string' || isNumber(value)) &&
        (where.file !== undefined || key === 'title'),
    )
    .map(([key, value]) => `${key}=${property(String(value))}`);
  return `::${kind} ${properties.join(',')}::${data(message)}`;
}

const data = (s: string): string =>
  revealed(s.replace(/\r\n?/g, '\n').slice(0, LONGEST))
    .replace(/%/g, '%25')
    .replace(/\r/g, '%0D')
    .replace(/\n/g, '%0A');
const property = (s: string): string => data(s).replace(/:/g, '%3A').replace(/,/g, '%2C');
