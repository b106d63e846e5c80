/** Compression in words and tables: a part of report.md. */
import type { CompressionFacts } from '../record/index.js';
import { table, text } from './markdown/parts.js';
import { bytes, count, fixed, ms } from './text.js';

/** A row for each state, the model of the recipe first. */
export function compressionRows({ states }: CompressionFacts): { readonly head: string[]; readonly rows: string[][] } {
  const metrics = states[0]?.metrics ?? [];
  const timed = states.some((s) => s.latency);
  const weighed = states.some((s) => s.peakBytes !== undefined);
  return {
    head: [
      'float model',
      ...metrics.map((m) => m.name),
      'MACs',
      'parameters',
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

export function compressionText(facts: CompressionFacts): string {
  const { head, rows } = compressionRows(facts);
  const lines = facts.states.flatMap((s) => (s.line === undefined ? [] : [`- ${text(s.name)}: ${text(s.line)}`]));
  return [
    table(
      head.map(text),
      rows.map((r) => r.map(text)),
    ),
    lines.join('\n'),
  ]
    .filter(Boolean)
    .join('\n\n');
}
