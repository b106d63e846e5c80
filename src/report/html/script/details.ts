/** Opens the details of a layer under its row: what was decided, and histograms with the clipping range drawn in. */
export const details = `
const data = JSON.parse(document.getElementById('data').textContent);
const make = (tag, text, css) => { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; if (css) e.className = css; return e; };
const draw = (tag, attributes, text) => { const e = document.createElementNS('http://www.w3.org/2000/svg', tag); for (const k in attributes) e.setAttribute(k, attributes[k]); if (text !== undefined) e.textContent = text; return e; };
const heights = (digits) => digits.match(/../g).map(Number);
const pc = (x) => Math.round(x * 10) / 10 + '%';
const edge = (x) => (x < 20 ? 'start' : x > 80 ? 'end' : 'middle');

function histogram(p) {
  const svg = draw('svg', { class: 'histogram', height: 150, role: 'img', 'aria-label': 'histogram from ' + p.fromText + ' to ' + p.toText + (p.lowText === undefined ? '' : ', chosen range ' + p.lowText + ' to ' + p.highText) });
  const bars = heights(p.bins), step = (p.end - p.start) / bars.length;
  bars.forEach((h, i) => { if (h) svg.append(draw('rect', { class: 'bar', x: (p.start + i * step).toFixed(2) + '%', width: Math.max(0.1, step - 0.06).toFixed(2) + '%', y: 116 - h, height: h })); });
  if (p.low > 0) svg.append(draw('rect', { class: 'beyond', x: 0, width: pc(p.low), y: 0, height: 116 }));
  if (p.high < 100) svg.append(draw('rect', { class: 'beyond', x: pc(p.high), width: pc(100 - p.high), y: 0, height: 116 }));
  svg.append(draw('line', { class: 'axis', x1: 0, x2: '100%', y1: 116.5, y2: 116.5 }));
  for (const at of [p.low, p.high]) if (at !== undefined) svg.append(draw('line', { class: 'limit', x1: pc(at), x2: pc(at), y1: 0, y2: 120 }));
  if (p.low !== undefined) svg.append(draw('text', { x: pc(p.low), y: 132, 'text-anchor': edge(p.low) }, p.lowText));
  if (p.high !== undefined && p.high - (p.low || 0) > 18) svg.append(draw('text', { x: pc(p.high), y: 132, 'text-anchor': edge(p.high) }, p.highText));
  if (p.low !== 0) svg.append(draw('text', { x: 0, y: 147, class: 'faint' }, p.fromText));
  if (p.high !== 100) svg.append(draw('text', { x: '100%', y: 147, class: 'faint', 'text-anchor': 'end' }, p.toText));
  svg.append(draw('text', { x: '50%', y: 147, class: 'faint', 'text-anchor': 'middle' }, 'value'));
  return svg;
}

function figureOf(p) {
  const figure = make('figure', undefined, 'point');
  const title = make('figcaption');
  title.append(make('bdi', p.title, 'name'));
  figure.append(title);
  for (const line of p.about) figure.append(make('p', line, 'dim'));
  if (p.because) figure.append(make('p', p.because, 'dim'));
  if (p.bins) figure.append(histogram(p), make('p', 'Heights are logarithmic, the highest is ' + p.most + ' values; lines mark the chosen range, what is shaded is clipped.', 'faint'));
  if (p.scales) {
    const svg = draw('svg', { class: 'scales', height: 44, role: 'img', 'aria-label': p.scalesText });
    const all = heights(p.scales);
    all.forEach((h, i) => svg.append(draw('rect', { class: 'bar', x: pc((i / all.length) * 100), width: pc(90 / all.length), y: 42 - h * 0.4, height: h * 0.4 + 2 })));
    figure.append(svg, make('p', p.scalesText + ' (logarithmic).', 'faint'));
  }
  return figure;
}

function contents(layer, row) {
  const box = make('div', undefined, 'inside');
  for (const fact of layer.facts) box.append(make('p', fact));
  const node = document.querySelector('#drawing a[href="#' + row.id + '"]');
  if (node) { const button = make('button', 'Show in the graph', 'plain'); button.type = 'button'; button.addEventListener('click', () => showNode(node)); box.append(button); }
  const figures = make('div', undefined, 'figures');
  figures.append(...layer.points.map((i) => figureOf(data.points[i])));
  box.append(figures);
  return box;
}

function toggle(row, open) {
  const button = row.cells[0].querySelector('button');
  const is = button.getAttribute('aria-expanded') === 'true';
  if (open === is) return;
  button.setAttribute('aria-expanded', String(!is));
  if (is) { row.nextElementSibling.remove(); return; }
  const below = make('tr', undefined, 'details'), cell = make('td');
  cell.colSpan = row.cells.length;
  cell.append(contents(data.layers[Number(row.id.slice(6))], row));
  below.append(cell);
  row.after(below);
}

for (const row of document.querySelectorAll('tr[id^="layer-"]')) {
  const head = row.cells[0], button = make('button', undefined, 'open');
  button.type = 'button';
  button.setAttribute('aria-expanded', 'false');
  button.append(...head.childNodes);
  head.append(button);
}
document.addEventListener('click', (event) => {
  const row = event.target.closest('tr[id^="layer-"]');
  // Who selects text in a row does not want it to open.
  if (row && (event.target.closest('button.open') || String(getSelection()) === '')) toggle(row);
});

function openAround(element) { for (let d = element.closest('details'); d; d = d.parentElement.closest('details')) d.open = true; }
function reveal() {
  const part = /^#[a-z-]+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
  if (part && part.matches('details.section')) { openAround(part); part.scrollIntoView(); return; }
  const row = /^#layer-\\d+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
  if (!row) return;
  openAround(row);
  if (row.hidden) row.closest('table').dispatchEvent(new Event('reveal'));
  toggle(row, true);
  row.scrollIntoView({ block: 'center' });
  row.querySelector('button').focus({ preventScroll: true });
}
addEventListener('hashchange', reveal);
reveal();
`;
