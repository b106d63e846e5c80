/** The runtime that a run was written for. */
import type { RunRecord } from '../../record/index.js';
import { floatKinds, targetRows, targetSentence } from '../target.js';
import { visible } from '../text.js';
import { html, name, type Part } from './markup.js';
import { section, table } from './page.js';

export function targetSection(record: RunRecord): Part {
  const { target } = record;
  if (!target) return undefined;
  const { head, rows } = targetRows(record);
  const [, ...columns] = head;
  const cells = rows.map(
    ([first = '', ...rest]) =>
      html`<tr><th scope="row">${visible(first, 60)}</th>${rest.map((x) => html`<td class="num">${visible(x, 40)}</td>`)}</tr>`,
  );
  const kinds = floatKinds(target).map(
    ([n, what, first]) => html`<li>${`${n}`} × ${visible(what, 200)} (${name(first)})</li>`,
  );
  return section(
    'Where it ships',
    target.verified
      ? `verified in ${visible(target.verified.runtime, 40)}`
      : `${visible(target.name, 40)}, not verified there`,
    html`<p>${visible(targetSentence(record), 600)}</p>${
      rows.length > 0 &&
      table(html`<th></th>${columns.map((c) => html`<th class="num">${visible(c, 40)}</th>`)}`, cells, 'target')
    }${kinds.length > 0 && html`<p>Float there:</p><ul>${kinds.slice(0, 40)}</ul>`}`,
    true,
  );
}
