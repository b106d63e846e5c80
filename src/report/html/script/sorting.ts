/** Sorts and filters the tables marked data-sort. Details under a row move with it. */
export const sorting = `
const belowOf = (row) => (row.nextElementSibling && row.nextElementSibling.classList.contains('details') ? [row.nextElementSibling] : []);
for (const table of document.querySelectorAll('table[data-sort]')) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const key = (row, i) => { const cell = row.cells[i]; const v = cell.dataset.v; return v === undefined ? cell.textContent.trim().toLowerCase() : v === '' ? -Infinity : Number(v); };
  heads.forEach((head, i) => {
    if (head.dataset.fixed !== undefined) return;
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener('click', () => {
      const numeric = rows.some((row) => row.cells[i].dataset.v !== undefined);
      const was = head.getAttribute('aria-sort');
      const way = was === null ? (numeric ? 'descending' : 'ascending') : was === 'descending' ? 'ascending' : 'descending';
      heads.forEach((h) => h.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', way);
      const sign = way === 'ascending' ? 1 : -1;
      const keys = new Map(rows.map((row) => [row, key(row, i)]));
      rows.sort((a, b) => { const x = keys.get(a), y = keys.get(b); return sign * (x < y ? -1 : x > y ? 1 : 0); });
      const below = new Map(rows.map((row) => [row, belowOf(row)]));
      body.append(...rows.flatMap((row) => [row, ...below.get(row)]));
    });
  });
  if (rows.length < 8) continue;
  const label = document.createElement('label');
  label.className = 'filter';
  const input = document.createElement('input');
  input.type = 'search';
  input.placeholder = 'any word in a row';
  const found = document.createElement('span');
  found.setAttribute('role', 'status');
  // Cells apart: else the end of one and the start of the next would make a word.
  const texts = new Map();
  const textOf = (row) => { if (!texts.has(row)) texts.set(row, [...row.cells].map((cell) => cell.textContent.toLowerCase()).join(' ')); return texts.get(row); };
  const filter = () => {
    const words = input.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = textOf(row);
      row.hidden = !words.every((w) => text.includes(w));
      for (const below of belowOf(row)) below.hidden = row.hidden;
      if (!row.hidden) shown++;
    }
    found.textContent = words.length ? shown + ' of ' + rows.length : '';
  };
  input.addEventListener('input', filter);
  // A link to a row that the filter hides must still lead there.
  table.addEventListener('reveal', () => { input.value = ''; filter(); });
  label.append('Filter', input, found);
  table.parentElement.before(label);
}
`;
