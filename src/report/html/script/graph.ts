/** Moves and zooms the drawing of the graph: its box scrolls as any box does, and zoom is the size of the drawing. */
export const graph = `
const canvas = document.getElementById('canvas'), drawing = document.getElementById('drawing');
function center(node) {
  node.classList.add('found');
  const to = node.getBoundingClientRect(), box = canvas.getBoundingClientRect();
  canvas.scrollBy(to.x + to.width / 2 - box.x - box.width / 2, to.y + to.height / 2 - box.y - box.height / 2);
}
function showNode(node) {
  canvas.closest('details').open = true;
  for (const old of drawing.querySelectorAll('.found')) old.classList.remove('found');
  canvas.scrollIntoView({ block: 'center' });
  center(node);
  canvas.focus({ preventScroll: true });
}
if (canvas) {
  const { width, height } = drawing.viewBox.baseVal;
  let zoom = 1;
  const set = (wanted, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) => {
    const before = zoom;
    zoom = Math.min(4, Math.max(0.05, wanted));
    const left = (canvas.scrollLeft + x) * (zoom / before) - x, top = (canvas.scrollTop + y) * (zoom / before) - y;
    drawing.setAttribute('width', width * zoom);
    drawing.setAttribute('height', height * zoom);
    canvas.scrollTo(left, top);
  };
  const fit = () => set(Math.min(1, (canvas.clientWidth - 2) / width));
  const tools = document.getElementById('zoom');
  tools.hidden = false;
  for (const [text, label, act] of [['+', 'zoom in', () => set(zoom * 1.3)], ['−', 'zoom out', () => set(zoom / 1.3)], ['fit width', 'fit the width', fit], ['1:1', 'natural size', () => set(1)]]) {
    const button = make('button', text, 'plain');
    button.type = 'button';
    button.setAttribute('aria-label', label);
    button.addEventListener('click', act);
    tools.append(button);
  }
  const label = make('label', undefined, 'filter'), input = make('input'), found = make('span');
  input.type = 'search';
  input.placeholder = 'op or name; Enter for the next';
  found.setAttribute('role', 'status');
  let hits = [], at = -1;
  const step = () => { for (const old of drawing.querySelectorAll('.found')) old.classList.remove('found'); if (!hits.length) return; at = (at + 1) % hits.length; center(hits[at]); found.textContent = at + 1 + ' of ' + hits.length; };
  input.addEventListener('input', () => {
    const wanted = input.value.trim().toLowerCase();
    hits = wanted ? [...drawing.querySelectorAll('a, g.node')].filter((n) => n.textContent.toLowerCase().includes(wanted)) : [];
    at = -1;
    found.textContent = wanted ? hits.length + ' found' : '';
    step();
  });
  input.addEventListener('keydown', (event) => { if (event.key === 'Enter') { event.preventDefault(); step(); } });
  label.append('Find', input, found);
  tools.append(label);
  fit();
  canvas.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = { '+': () => set(zoom * 1.3), '=': () => set(zoom * 1.3), '-': () => set(zoom / 1.3), '0': fit }[event.key];
    if (act) { act(); event.preventDefault(); }
  });
  canvas.addEventListener('wheel', (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    set(zoom * Math.exp(-event.deltaY / 300), event.clientX - box.x, event.clientY - box.y);
  }, { passive: false });
  let from;
  canvas.addEventListener('pointerdown', (event) => { if (event.pointerType === 'mouse' && event.button === 0) from = { x: event.clientX, y: event.clientY, left: canvas.scrollLeft, top: canvas.scrollTop, moved: false }; });
  addEventListener('pointermove', (event) => {
    if (!from) return;
    if (Math.hypot(event.clientX - from.x, event.clientY - from.y) > 4) from.moved = true;
    if (from.moved) canvas.scrollTo(from.left - event.clientX + from.x, from.top - event.clientY + from.y);
  });
  let dragged = false;
  addEventListener('pointerup', () => { dragged = Boolean(from && from.moved); from = undefined; });
  canvas.addEventListener('dragstart', (event) => event.preventDefault());
  // The end of a drag over a node is no click on it.
  canvas.addEventListener('click', (event) => { if (dragged) event.preventDefault(); dragged = false; }, true);
  drawing.addEventListener('click', (event) => { const link = event.target.closest('a'); if (link && !event.defaultPrevented && link.getAttribute('href') === location.hash) reveal(); });
  if (width > canvas.clientWidth) canvas.scrollLeft = (width - canvas.clientWidth) / 2;
}
`;
