/** What files weigh when they are sent compressed. */
import type { RunRecord } from '../../record/index.js';
import { transportRows, transportSentence } from '../transport.js';
import { visible } from '../text.js';
import { html, type Part } from './markup.js';
import { section, table } from './page.js';

export function transportSection({ transport: t }: RunRecord): Part {
  if (!t) return undefined;
  const { head, rows } = transportRows(t);
  const [kind, ...names] = head;
  const cells = rows.map(
    ([first, ...rest]) =>
      html`<tr><th scope="row">${first ?? ''}</th>${rest.map((x) => html`<td class="num">${visible(x, 40)}</td>`)}</tr>`,
  );
  return section(
    'Transport size',
    `compressed with ${visible(t.codec, 20)}`,
    html`${table(html`<th>${kind}</th>${names.map((n) => html`<th class="num">${n}</th>`)}`, cells, 'transport')}<p>${visible(transportSentence(t), 400)}</p>`,
    true,
  );
}
