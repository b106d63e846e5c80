/** What made the float model smaller: every state with what it scores, takes and weighs. */
import type { RunRecord } from '../../record/index.js';
import { compressionRows } from '../compression.js';
import { scanTables } from '../scan.js';
import { sparsityLines, sparsityTable } from '../sparsity.js';
import { visible } from '../text.js';
import { html, type Part } from './markup.js';
import { section, table } from './page.js';

export function compressionSection({ compression: c, sparsity }: RunRecord): Part {
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
  const more = sparsityLines(c, sparsity).map((line) => html`<li>${line}</li>`);
  const layers = sparsityTable(c);
  const sparse = layers.rows.map(
    ([first, ...rest]) =>
      html`<tr><th scope="row">${visible(first ?? '', 80)}</th>${rest.map((x) => html`<td class="num">${x}</td>`)}</tr>`,
  );
  const [layer, ...columns] = layers.head;
  const zeros = sparse.length
    ? table(html`<th>${layer}</th>${columns.map((n) => html`<th class="num">${n}</th>`)}`, sparse, 'sparsity')
    : '';
  const scans = scanTables(c).map((scan) => {
    const [family, ...measured] = scan.head;
    const lines = scan.rows.map(
      ([first, ...rest]) =>
        html`<tr><th scope="row">${visible(first ?? '', 80)}</th>${rest.map((x) => html`<td class="num">${x}</td>`)}</tr>`,
    );
    const names = measured.map((n) => html`<th class="num">${visible(n, 60)}</th>`);
    return html`<p>${visible(scan.title, 400)}</p>${table(html`<th>${family}</th>${names}`, lines, 'scan')}`;
  });
  const last = c.states.at(-1);
  return section(
    'Compression',
    last?.line === undefined ? '' : visible(last.line, 120),
    html`${table(html`<th>${kind}</th>${names.map((n) => html`<th class="num">${visible(n, 40)}</th>`)}`, cells, 'compression')}<ul>${lines}${more}</ul>${zeros}${scans}`,
    true,
  );
}
