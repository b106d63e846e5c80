/** compare.md: several runs of one model beside each other, the choice first. */
import type { CompareRecord } from '../../record/index.js';
import { code, section, table, text } from '../markdown/parts.js';
import { VERDICTS } from '../summary.js';
import { bytes, fixed, many } from '../text.js';
import { choice, compareColumns, isBest } from './columns.js';
import { curveOf, curveTable } from './curve.js';

export function renderCompareMarkdown(record: CompareRecord): string {
  const e = record.environment;
  const columns = compareColumns(record);
  const gated = record.runs.some((r) => r.gate);
  const failed = record.runs.filter((r) => r.outcome === 'failed');
  const rows = record.runs
    .filter((r) => r.outcome === 'ok')
    .map((run) => [
      `${code(run.label)}${record.chosen?.label === run.label ? ' **chosen**' : ''}`,
      ...(gated ? [run.gate ? `${VERDICTS[run.gate.verdict].mark} ${VERDICTS[run.gate.verdict].word}` : ''] : []),
      ...columns.map((c) => {
        const note = c.note?.(run);
        const shown = text(c.shown(run));
        return `${isBest(c, run, record.runs) ? `**${shown}** ★` : shown}${note ? ` (${text(note)})` : ''}`;
      }),
      run.front ? 'yes' : '',
      text(run.summary),
    ]);
  const float = ['float', ...(gated ? [''] : []), ...columns.map((c) => text(c.float ?? '')), '', ''];
  const series = curveOf(record);
  const [head = [], ...body] = series ? curveTable(series) : [];
  const parts = [
    `# ${text(record.name)}`,
    `**${text(choice(record))}**`,
    `${code(record.model.name)}, ${bytes(record.model.bytes)} · ${many(record.runs.length, 'run')} · ` +
      `onnxruntime ${text(e.onnxruntime)} on ${text(e.cpu)} · ${text(record.startedAt)} · ` +
      `${fixed(record.durationMs / 1000, 1)} s · quantbench ${text(record.quantbench)}`,
    table(
      ['run', ...(gated ? ['gate'] : []), ...columns.map((c) => text(c.title)), 'front', 'what sets it apart'],
      rows.length ? [...rows, float] : [],
    ),
    rows.length
      ? '★ marks the best of a column and what measurements cannot tell from it; the front are the runs that no ' +
        'other beats in everything. ' +
        `${record.samples === undefined ? '' : `Accuracy is that on ${many(record.samples, 'sample')}. `}Runs ` +
        `are ranked on ${text(record.chosenOn)}.`
      : '',
    series
      ? section(
          'Accuracy against multiply-accumulates',
          table(
            head.map(text),
            body.map((row) => row.map(text)),
          ),
        )
      : '',
    section('Failed runs', failed.map((r) => `- ${code(r.label)} ${text(r.error ?? 'without a message')}`).join('\n')),
    section('Notes', record.notes.map((n) => `- ${text(n)}`).join('\n')),
  ];
  return `${parts.filter(Boolean).join('\n\n')}\n`;
}
