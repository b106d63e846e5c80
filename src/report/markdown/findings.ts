/**
 * What a reviewer asks for after the results: rules, worst classes, most sensitive layers, saturation. A few rows each;
 * report.html has all.
 */
import type { RunRecord } from '../../record/index.js';
import { VERDICTS } from '../summary.js';
import { count, fixed, isNumber, many, percent, real, signed } from '../text.js';
import { saturationSentence } from '../saturation.js';
import { code, table, text } from './parts.js';

const TOP = 10;
const rest = (n: number, what: string): string =>
  n > TOP ? `\n\n… and ${many(n - TOP, what, what === 'class' ? 'classes' : `${what}s`)} more in report.html.` : '';

export function gate({ gate: g }: RunRecord): string {
  if (!g) return '';
  const rows = g.rules.map((r) => [
    text(r.name),
    `${VERDICTS[r.verdict].mark} **${VERDICTS[r.verdict].word}**`,
    text(r.text),
  ]);
  return (
    `${VERDICTS[g.verdict].mark} **${VERDICTS[g.verdict].word}** against ${text(g.against)}, at ` +
    `${percent(g.confidence, 0)} confidence.\n\n${table(['rule', 'verdict', 'in words'], rows)}`
  );
}

export function accuracy({ evaluation: e }: RunRecord): string {
  const classes = e?.metrics.find((m) => m.classes?.length)?.classes ?? [];
  const worst = [...classes].sort((a, b) => a.quantized - a.float - (b.quantized - b.float) || a.class - b.class);
  const rows = worst
    .slice(0, TOP)
    .map((c) => [
      c.name === undefined ? `class ${count(c.class)}` : code(c.name),
      count(c.samples),
      percent(c.float),
      percent(c.quantized),
      `${signed((c.quantized - c.float) * 100, 1)} points`,
      `${count(c.rightToWrong)} / ${count(c.wrongToRight)}`,
    ]);
  const kl = isNumber(e?.agreement?.kl)
    ? `Mean Kullback–Leibler divergence of the outputs from float: ${real(e.agreement.kl)} nats.`
    : '';
  const search = e?.search
    ? `Figures are of ${many(e.samples, 'sample')}; ${many(e.search.samples, 'other sample')} may have chosen ` +
      'between recipes.'
    : '';
  const head = ['class, worst first', 'samples', 'float', 'quantized', 'change', 'right → wrong / wrong → right'];
  return [[kl, search].filter(Boolean).join(' '), rows.length ? table(head, rows) + rest(worst.length, 'class') : '']
    .filter(Boolean)
    .join('\n\n');
}

export function sensitivity({ sensitivity: s }: RunRecord): string {
  if (!s?.layers.length) return '';
  const measure =
    s.measure === 'kl'
      ? 'mean KL divergence of the outputs from float, in nats'
      : s.measure === 'loss'
        ? 'mean rise of the cross-entropy with the labels, in nats'
        : 'Σ error² ÷ Σ float² of the outputs';
  return `One layer quantized at a time, ${many(s.samples, 'sample')}; the score is the ${measure}.\n\n${table(
    ['layer', 'op', 'score', 'share'],
    s.layers.slice(0, TOP).map((l) => [code(l.node), code(l.op), real(l.score), percent(l.share)]),
  )}${rest(s.layers.length, 'layer')}`;
}

export function saturation(record: RunRecord): string {
  const sentence = saturationSentence(record);
  return sentence === undefined ? '' : `**${text(sentence)}**`;
}

export function search(record: RunRecord): string {
  const s = record.search;
  if (!s) return '';
  const sign = record.evaluation?.metrics.find((m) => m.name === s.metric)?.higherIsBetter === false ? 1 : -1;
  const change = (drop: number | undefined): string =>
    isNumber(drop) ? signed(sign * drop, s.unit === '%' ? 2 : 4) : '–';
  const ratio = (x: number | undefined): string => (isNumber(x) ? `${fixed(x, 2)} ×` : '–');
  const rows = s.trials.map((t) => [
    count(t.round),
    text(t.label),
    count(t.samples),
    change(t.drop),
    isNumber(t.loss) ? real(t.loss) : '–',
    ratio(t.latencyRatio),
    ratio(t.sizeRatio),
    text(t.error ?? t.next),
  ]);
  const head =
    `**${text(s.sentence)}**\n\n` +
    `Allowed: ${text(s.metric)} at most ${text(s.limitText)} worse; best by ${s.objective}. ` +
    `${count(s.searchSamples)} samples chose, ${count(s.heldOutSamples)} others were held out.`;
  const looks = s.heldOut.map((l, i) => `${i + 1}. ${text(l.label)}: ${text(l.text)}`).join('\n');
  return [
    head,
    table(['round', 'recipe', 'samples', 'change', 'loss', 'latency', 'size', 'then'], rows),
    `Held-out samples:\n\n${looks}`,
    s.notes.map((n) => `- ${text(n)}`).join('\n'),
  ]
    .filter(Boolean)
    .join('\n\n');
}

export function mixed({ mixed: m }: RunRecord): string {
  if (!m) return '';
  const rows = m.layers.map((l) => [
    [l.node, ...(l.others ?? [])].map(code).join(' + '),
    text(m.choices[l.chosen] ?? ''),
    l.loss.map((x) => (isNumber(x) ? real(x) : '–')).join(' · '),
  ]);
  return (
    `${m.budget} ${real(m.spent)} of ${real(m.limit)}; choices: ${m.choices.map(text).join(' · ')}; ` +
    `${many(m.samples, 'sample')}, solver ${text(m.solver)}.\n\n` +
    `${table(['layer', 'chosen', 'loss of each choice'], rows)}`
  );
}
