/** The runtime that a run was written for, in words and tables. */
import { groupBy } from '../base/group.js';
import type { RunRecord, TargetFacts } from '../record/index.js';
import { table, text } from './markdown/parts.js';
import { bytes, count, fixed, percent, visible } from './text.js';

/** What the other figures are worth there. */
export function targetSentence({ target: t }: Pick<RunRecord, 'target'>): string {
  if (!t) return '';
  const { verified: v } = t;
  const figures =
    t.runtime === 'here'
      ? 'The other figures are of this runtime.'
      : 'The other figures are of the same codes, computed exactly in onnxruntime.';
  if (!v) return `${t.name} loads ${t.artefact}, on ${t.hardware}. Not verified there. ${figures}`;
  const all = v.integerLayers.length + v.floatLayers.length;
  const share = v.integerMacsShare === undefined ? '' : `, ${percent(v.integerMacsShare, 1)} of the work`;
  return (
    `Verified in ${v.runtime}: ${count(v.integerLayers.length)} of ${count(all)} layers computed in integers${share}, by ` +
    `${v.evidence}. ${figures}`
  );
}

/** What was measured in the runtime, beside what this run measured. */
export function targetRows({ target, evaluation, files }: RunRecord): {
  readonly head: string[];
  readonly rows: string[][];
} {
  const v = target?.verified;
  const head = ['', 'float', 'here', `in ${target?.name ?? ''}`];
  const metric = (value: number | undefined, unit: string): string =>
    value === undefined ? '–' : unit === '%' ? `${fixed(value, 2)} %` : fixed(value, 4);
  const metrics = (v?.evaluation?.metrics ?? []).map((m) => {
    const own = evaluation?.metrics.find((x) => x.name === m.name);
    return [m.name, metric(m.float, m.unit), metric(own?.quantized, m.unit), metric(m.quantized, m.unit)];
  });
  const outputs = (v?.evaluation?.outputs ?? []).map((o) => {
    const own = evaluation?.outputs.find((x) => x.name === o.name);
    const db = (x: number | undefined): string => (x === undefined ? '–' : `${fixed(x, 1)} dB`);
    return [`SQNR of ${visible(o.name, 40)}`, '', db(own?.sqnrDb), db(o.sqnrDb)];
  });
  const l = v?.latency;
  const times = l
    ? [
        [
          `latency p50, ${l.threads} threads, both there`,
          `${fixed(l.floatMs.p50, 3)} ms`,
          '',
          `${fixed(l.quantizedMs.p50, 3)} ms`,
        ],
      ]
    : [];
  const main = files.find((f) => f.path === target?.artefact);
  const size = main ? [['artefact', '', '', bytes(main.bytes)]] : [];
  return { head, rows: [...metrics, ...outputs, ...times, ...size] };
}

/** Kinds of nodes that stay float there, each with the first of them. */
export function floatKinds({
  floats,
}: TargetFacts): readonly (readonly [nodes: number, what: string, first: string])[] {
  const kinds = groupBy(floats, ({ op, because }) => `${op}: ${because}`);
  return [...kinds].map(([what, nodes]) => [nodes.length, what, nodes[0]?.node ?? '']);
}

export function targetText(record: RunRecord): string {
  const { target } = record;
  if (!target) return '';
  const { head, rows } = targetRows(record);
  const kinds = floatKinds(target).map(([n, what, first]) => `- ${n} × ${text(what)} (${text(first)})`);
  return [
    text(targetSentence(record)),
    rows.length
      ? table(
          head.map(text),
          rows.map((r) => r.map(text)),
        )
      : '',
    kinds.length ? `Float there:\n\n${kinds.slice(0, 20).join('\n')}` : '',
  ]
    .filter(Boolean)
    .join('\n\n');
}
