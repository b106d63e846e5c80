/** What a dry run prints: where each node would run, and why. */
import { countText } from '../base/text.js';
import type { RunRecord } from '../record/index.js';
import { table } from './layout.js';

export function planLines(record: RunRecord, columns: number): string[] {
  const total = record.nodes.reduce((n, x) => n + x.macs, 0);
  const integer = record.nodes.filter((n) => n.planned === 'integer');
  const inInteger = integer.reduce((n, x) => n + x.macs, 0);
  const kinds = new Map<string, number>();
  for (const p of record.points) kinds.set(p.kind, (kinds.get(p.kind) ?? 0) + 1);
  return [
    `${integer.length} of ${record.nodes.length} nodes in ` +
      `integers${total ? `, ${((100 * inInteger) / total).toFixed(1)} % of multiply-accumulates` : ''}`,
    `${record.points.length} quantization points: ${[...kinds].map(([kind, n]) => `${n} ${kind}`).join(', ')}`,
    '',
    ...table(
      [
        ['planned', 'op', 'macs', 'node', 'why'],
        ...record.nodes.map((n) => [
          n.planned,
          n.op,
          n.macs ? countText(n.macs) : '',
          n.body === undefined ? n.name : `${n.name} in ${n.body}`,
          n.because ?? '',
        ]),
      ],
      [2],
      { columns, drop: [2] },
    ),
    '',
    'Nothing was measured or written (--dry-run). The recipe as resolved:',
    '',
    record.recipe.yaml.trimEnd(),
  ];
}
