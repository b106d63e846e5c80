/** How `quantize auto` found the recipe: every trial in turn, and the looks at the held-out samples. */
import type { RunRecord, Trial } from '../../record/index.js';
import { count, fixed, isNumber, many, real, signed, visible } from '../text.js';
import { html, name, type Markup, type Part } from './markup.js';
import { section, table, together } from './page.js';

export function searchSection(record: RunRecord): Part {
  const s = record.search;
  if (!s) return undefined;
  const sign = record.evaluation?.metrics.find((m) => m.name === s.metric)?.higherIsBetter === false ? 1 : -1;
  const change = (drop: number | undefined): string =>
    isNumber(drop) ? signed(sign * drop, s.unit === '%' ? 2 : 4) : '–';
  const row = (t: Trial): Markup =>
    html`<tr><td class="num">${count(t.round)}</td><th scope="row">${name(t.label, 120)}<span class="note">${together(
      visible(t.why, 200),
    )}</span></th><td class="num">${count(t.samples)}</td><td class="num">${change(t.drop)}</td><td class="num">${
      isNumber(t.loss) ? real(t.loss) : '–'
    }</td><td class="num">${ratio(t.latencyRatio)}</td><td class="num">${ratio(t.sizeRatio)}</td><td class="words">${visible(
      t.error ?? t.next,
      300,
    )}</td></tr>`;
  const looks = s.heldOut.map((l) => html`<li>${name(l.label, 120)}: ${together(visible(l.text, 600))}</li>`);
  return section(
    'Search',
    `${many(s.trials.length, 'trial')} in ${fixed(s.ms / 1000, 0)} s, ${s.outcome}`,
    html`<p><strong>${visible(s.sentence, 800)}</strong></p>
<p>Allowed: ${visible(s.metric, 60)} at most ${visible(s.limitText, 40)} worse; best by ${s.objective}. ${count(
      s.searchSamples,
    )} samples chose, ${count(
      s.heldOutSamples,
    )} others were held out. Loss is how far the outputs moved from float. Ratios are to the float model.</p>
${table(
  html`<th class="num">round</th><th>recipe</th><th class="num">samples</th><th class="num">change</th><th class="num">loss</th><th class="num">latency</th><th class="num">size</th><th>then</th>`,
  s.trials.map(row),
  'Trials',
  true,
)}
<p>Held-out samples:</p><ol>${looks}</ol>
${s.notes.length > 0 && html`<ul>${s.notes.map((n) => html`<li>${visible(n, 800)}</li>`)}</ul>`}`,
    true,
  );
}

/** What each layer got under a budget. */
export function mixedSection({ mixed: m }: RunRecord): Part {
  if (!m) return undefined;
  const rows = m.layers.map(
    (l) =>
      html`<tr><th scope="row">${[l.node, ...(l.others ?? [])].map((n) => name(n, 80)).join(' + ')}</th><td>${visible(
        m.choices[l.chosen] ?? '',
        80,
      )}</td><td class="words">${l.loss.map((x) => (isNumber(x) ? real(x) : '–')).join(' · ')}</td></tr>`,
  );
  return section(
    'Mixed precision',
    `${m.budget} ${real(m.spent)} of ${real(m.limit)}`,
    html`<p>Each layer was measured alone with each choice (${m.choices
      .map((c) => visible(c, 80))
      .join(' · ')}), on ${many(m.samples, 'sample')}; the solver (${visible(
      m.solver,
      20,
    )}) took the least sum of losses within the budget.</p>${table(
      html`<th>layer</th><th>chosen</th><th>loss of each choice</th>`,
      rows,
      'Layers',
    )}`,
    false,
  );
}

const ratio = (x: number | undefined): string => (isNumber(x) ? `${fixed(x, 2)} ×` : '–');
