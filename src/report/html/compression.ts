/** What made the float model smaller: every state with what it scores, takes and weighs. */
import type { RunRecord } from '../../record/index.js';
import { compressionRows } from '../compression.js';
import { visible } from '../text.js';
import { html, type Part } from './markup.js';
import { section, table } from './page.js';

export function compressionSection({ compression: c }: RunRecord): Part {
  if (!c) return undefined;
  const { head, rows } = compressionRows(c);
  const cells = rows.map(
    ([first, ...rest]) =>
      html`<tr><th scope="row">${visible(first ?? '', 60)}</th>${rest.map((x) => html`<td class="num">${visible(x, 60)}</td>`)}</tr>`,
  );
  const [kind, ...names] = head;
  const lines = c.states.flatMap((s) =>
    s.line === undefined ? [] : [html`<li>${s.name}: ${visible(s.line, 400)}</li>`],
  );
  const last = c.states.at(-1);
  return section(
    'Compression',
    last?.line === undefined ? '' : visible(last.line, 120),
    html`${table(html`<th>${kind}</th>${names.map((n) => html`<th class="num">${visible(n, 40)}</th>`)}`, cells, 'compression')}<ul>${lines}</ul>`,
    true,
  );
}
