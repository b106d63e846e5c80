/** What a run achieved, as the last lines on the terminal. */
import { secondsText } from '../base/text.js';
import type { RunRecord, Verdict } from '../record/index.js';
import { summaryTable } from '../report/summary.js';
import { table } from './layout.js';
import { paint } from './terminal.js';

/** What is said last, for it says whether the model is worth shipping. */
const VERDICTS: ReadonlySet<string> = new Set(['NO_GAIN', 'FAR_FROM_FLOAT']);

export function summaryLines(
  record: RunRecord,
  terminal: { readonly colour: boolean; readonly columns?: number },
): string[] {
  const p = paint(terminal);
  const rows = summaryTable(record);
  const [head = '', ...body] = table(
    [['', 'float', 'quantized', 'change', ''], ...rows.map((r) => [r.metric, r.float, r.quantized, r.change, r.note])],
    [1, 2],
    { columns: terminal.columns ?? Infinity, indent: 2 },
  );
  const floats = record.nodes.filter((n) => n.planned === 'float' && n.macs > 0);
  const warnings = record.diagnostics.filter((d) => d.severity !== 'note').length;
  return [
    '',
    p.bold(head),
    ...body.map((line, i) => (rows[i]?.tone === 'worse' ? p.yellow(line) : line)),
    '',
    ...(floats[0]
      ? [
          ...table(
            [
              [
                'stayed float',
                `${floats.length} nodes with multiply-accumulates, such as ${floats[0].name}: ` +
                  `${floats[0].because ?? 'not planned'}`,
              ],
            ],
            [],
            { columns: terminal.columns ?? Infinity, indent: 2 },
          ),
        ]
      : []),
    ...(record.gate
      ? [
          `  ${paintVerdict(record.gate.verdict, p)}`,
          ...table(
            record.gate.rules.map((r) => [r.verdict, r.name, r.text]),
            [],
            { columns: terminal.columns ?? Infinity, indent: 4 },
          ),
          '',
        ]
      : []),
    ...(record.evaluation ? [] : [p.yellow('  accuracy was not measured: there were no evaluation data')]),
    `  ${warnings ? `${warnings} warning${warnings === 1 ? '' : 's'} · ` : ''}total ${secondsText(record.durationMs)}`,
    ...record.diagnostics.filter((d) => VERDICTS.has(d.code)).map((d) => p.yellow(`  ${d.message}: ${d.hint ?? ''}`)),
    '',
  ];
}

function paintVerdict(verdict: Verdict, p: ReturnType<typeof paint>): string {
  const text = p.bold(`gate ${verdict.toUpperCase()}`);
  return verdict === 'pass' ? p.green(text) : verdict === 'fail' ? p.red(text) : p.yellow(text);
}
