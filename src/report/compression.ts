/** Compression in words and tables: a part of report.md. */
import type { CompressionFacts } from '../record/index.js';
import type { SparsityFacts } from '../record/sparsity.js';
import { table, text } from './markdown/parts.js';
import { scanTables, type ScanTable } from './scan.js';
import { sparsityLines, sparsityTable } from './sparsity.js';
import { bytes, count, fixed, ms, percent } from './text.js';

/** A row for each state, the model of the recipe first. */
export function compressionRows({ states }: CompressionFacts): { readonly head: string[]; readonly rows: string[][] } {
  const metrics = states[0]?.metrics ?? [];
  const timed = states.some((s) => s.latency);
  const sparse = states.some((s) => s.sparsity);
  const weighed = states.some((s) => s.peakBytes !== undefined);
  return {
    head: [
      'float model',
      ...metrics.map((m) => m.name),
      'MACs',
      'parameters',
      ...(sparse ? ['zeros'] : []),
      'file',
      ...(timed ? ['time', '× of the first'] : []),
      ...(weighed ? ['memory'] : []),
      'took',
    ],
    rows: states.map((s, i) => [
      i === 0 ? s.name : `after ${s.name}`,
      ...metrics.map((m) => valueOf(s, m.name)),
      count(s.macs),
      count(s.parameters),
      ...(sparse ? [s.sparsity ? percent(s.sparsity.zeros / Math.max(1, s.sparsity.weights), 1) : '–'] : []),
      bytes(s.bytes),
      ...(timed ? [s.latency ? ms(s.latency.p50) : '–', s.latency ? ratioText(s.latency) : '–'] : []),
      ...(weighed ? [s.peakBytes === undefined ? '–' : bytes(s.peakBytes)] : []),
      s.seconds === undefined ? '–' : `${fixed(s.seconds, 0)} s`,
    ]),
  };
}

type State = CompressionFacts['states'][number];
function valueOf({ metrics }: State, name: string): string {
  const found = metrics.find((m) => m.name === name);
  return found ? `${fixed(found.value, 2)} ${found.unit}`.trim() : '–';
}
const ratioText = ({ ratio, interval }: NonNullable<State['latency']>): string =>
  `${fixed(ratio, 2)}${interval ? ` (${fixed(interval[0], 2)}–${fixed(interval[1], 2)})` : ''}`;

export function compressionText(facts: CompressionFacts, sparsity?: SparsityFacts): string {
  const { head, rows } = compressionRows(facts);
  const lines = facts.states.flatMap((s) => (s.line === undefined ? [] : [`- ${text(s.name)}: ${text(s.line)}`]));
  return [
    table(
      head.map(text),
      rows.map((r) => r.map(text)),
    ),
    [...lines, ...sparsityLines(facts, sparsity).map((line) => `- ${text(line)}`)].join('\n'),
    sparsityText(facts),
    ...scanTables(facts).map(scanText),
  ]
    .filter(Boolean)
    .join('\n\n');
}

const scanText = ({ title, head, rows }: ScanTable): string =>
  `${text(title)}\n\n${table(
    head.map(text),
    rows.map((r) => r.map(text)),
  )}`;

function sparsityText(facts: CompressionFacts): string {
  const { head, rows } = sparsityTable(facts);
  return rows.length
    ? table(
        head.map(text),
        rows.map((r) => r.map(text)),
      )
    : '';
}
