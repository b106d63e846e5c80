/** The rules of the gate, each with what was observed drawn against its limit. */
import type { GateFacts, RuleResult } from '../../record/index.js';
import { gateSentence, VERDICTS } from '../summary.js';
import { asChange, isNumber, percent, real, visible } from '../text.js';
import { marginBar } from './charts.js';
import { html, type Markup, type Part } from './markup.js';
import { section, table, together } from './page.js';

export function gateSection(gate: GateFacts | undefined): Part {
  if (!gate) return undefined;
  return section(
    'Gate',
    gateSentence(gate),
    html`<p>Against ${visible(gate.against, 100)}. A rule passes only where the whole interval at ${percent(
      gate.confidence,
      0,
    )} confidence is inside of its limit, and fails only where all of it is outside; what lies between is undecided.</p>${table(
      html`<th>rule</th><th>in words</th><th>interval</th><th class="num">observed</th><th class="num">limit</th>`,
      gate.rules.map((r) => row(asChange(r))),
      'rules of the gate',
    )}`,
    true,
  );
}

function row(r: RuleResult): Markup {
  const shown = r.sign === undefined ? real : (v: number): string => (v > 0 ? `+${real(v)}` : real(v));
  const value = (v: number | undefined): string =>
    isNumber(v) ? together(`${shown(v)}${r.unit === undefined ? '' : ` ${visible(r.unit, 20)}`}`) : '–';
  // Ratios change around 1 and everything else around 0; the mark of no change only helps for differences and ratios.
  const zero = /ratio/i.test(r.name) ? 1 : 0;
  const drawn =
    isNumber(r.observed) &&
    r.interval &&
    marginBar({
      value: r.observed,
      interval: r.interval,
      limit: r.limit,
      shade: false,
      zero: /drop|ratio/i.test(r.name) ? zero : r.observed,
      mark: /drop|ratio/i.test(r.name),
      shown,
    });
  return html`<tr><th scope="row">${visible(r.name, 60)}<span class="note">${verdictBadge(
    r.verdict,
  )}</span></th><td class="words">${together(visible(r.text, 600))}</td><td class="wide">${
    drawn
  }</td><td class="num">${value(r.observed)}</td><td class="num">${value(r.limit)}</td></tr>`;
}

export const verdictBadge = (v: GateFacts['verdict']): Markup =>
  html`<span class="badge ${VERDICTS[v].tone}">${VERDICTS[v].mark} ${VERDICTS[v].word}</span>`;
