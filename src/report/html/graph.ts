/** The graph as a drawing: where each node runs, told by colour and by outline. */
import type { GraphFacts, RunRecord } from '../../record/index.js';
import type { Layer } from '../join.js';
import { count, many, visible } from '../text.js';
import { fold, type Block } from './graph-fold.js';
import { layout, NODE, type Place } from './graph-layout.js';
import { html, type Markup, type Part } from './markup.js';
import { LARGE, section } from './page.js';

const MOST_DRAWN = 1500;

export function graphSection({ graph }: RunRecord, layers: readonly Layer[]): Part {
  if (!graph?.nodes.length) return undefined;
  const rows = new Map(layers.map((l, i) => [l.name, i]));
  const { blocks, edges } = fold(graph, MOST_DRAWN);
  const drawn = layout(blocks.length, edges);
  const shapes = shapesOf(graph, blocks);
  const total = (region: string): number => graph.nodes.filter((n) => n.region === region).length;
  const key = (region: Block['region'], words: string): Markup =>
    html`<span class="key"><svg width="30" height="18" aria-hidden="true"><rect class="node ${
      region
    }" x="2" y="2" width="26" height="14" rx="${region === 'moves' ? 7 : 2}"/></svg> ${words} ${count(
      total(region),
    )}</span>`;
  const svg = html`<svg id="drawing" width="${drawn.width}" height="${drawn.height}" viewBox="0 0 ${drawn.width} ${
    drawn.height
  }" role="group" aria-label="graph of ${many(graph.nodes.length, 'node')}"><g class="edges">${drawn.edges.map(
    (e) => html`<path d="${curve(e.path)}"/>${shapeOn(e.path, shapes.get(`${e.from} ${e.to}`))}`,
  )}</g>${blocks.map((b, i) => node(b, drawn.places[i], graph, rows))}</svg>`;
  return section(
    'Graph',
    `${many(graph.nodes.length, 'node')} after ` +
      `clean-up${blocks.length < graph.nodes.length ? `, drawn as ${count(blocks.length)}` : ''}`,
    html`<p class="keys">${key('integer', 'in integers')} ${key('float', 'in float')} ${key(
      'moves',
      'only moves data',
    )}</p><div class="tools" id="zoom" hidden></div><div class="canvas${
      blocks.length > LARGE && ' large'
    }" id="canvas" tabindex="0" role="region" aria-label="graph; arrow keys move, plus and minus zoom, 0 fits">${
      svg
    }</div><p class="dim">A click on a node goes to its layer. Arrow keys, the wheel or dragging move; + and −, or the wheel with Ctrl, zoom; 0 fits the width. Numbers on edges are the shapes of tensors.</p>`,
    true,
  );
}

function node(block: Block, place: Place | undefined, graph: GraphFacts, rows: ReadonlyMap<string, number>): Part {
  const members = block.members.map((m) => graph.nodes[m]).filter((n) => n !== undefined);
  const [first, last] = [members[0], members.at(-1)];
  if (!place || !first || !last) return undefined;
  const row = members.map((m) => rows.get(m.name)).find((r) => r !== undefined);
  const [x, y] = [place.x - NODE.width / 2, place.y - NODE.height / 2];
  const one = members.length === 1;
  const op = one ? visible(first.op, 22) : `${visible(first.op, 8)} … ${visible(last.op, 8)}`;
  const below = one ? tail(first.name) : many(members.length, 'node');
  const box = html`<title>${
    one
      ? `${visible(first.name, 160)} (${visible(first.op, 60)})`
      : `${visible(first.name, 80)} to ${visible(last.name, 80)}`
  }, ${WORDS[block.region]}</title><rect class="node ${block.region}" x="${x}" y="${y}" width="${
    NODE.width
  }" height="${NODE.height}" rx="${block.region === 'moves' ? NODE.height / 2 : 4}"/><text class="op" x="${
    place.x
  }" y="${place.y - 3}">${op}</text><text class="sub" x="${place.x}" y="${place.y + 11}">${below}</text>`;
  return row === undefined ? html`<g class="node">${box}</g>` : html`<a href="#layer-${row}" tabindex="-1">${box}</a>`;
}

const WORDS = { integer: 'in integers', float: 'in float', moves: 'only moves data' } as const;
/** The end of a name: exporters put the module first, and ends differ most. */
function tail(name: string): string {
  const shown = visible(name, 400);
  return shown.length <= 23 ? shown : `…${shown.slice(-22)}`;
}

/** Shapes by the blocks that an edge joins; of several tensors between two blocks, the first. */
function shapesOf({ edges, shapes = [] }: GraphFacts, blocks: readonly Block[]): ReadonlyMap<string, string> {
  const owner = new Map(blocks.flatMap((b, i) => b.members.map((m) => [m, i] as const)));
  const found = new Map<string, string>();
  edges.forEach(([a, b], i) => {
    const key = `${owner.get(a) ?? -1} ${owner.get(b) ?? -1}`;
    if (!found.has(key)) found.set(key, shapes[i] ?? '');
  });
  return found;
}

/** Beside the end of the edge, where it is free of other edges. */
function shapeOn(path: readonly Place[], shape: string | undefined): Part {
  const [before, last] = [path.at(-2), path.at(-1)];
  if (!shape || !before || !last) return undefined;
  return html`<text class="shape" x="${last.x + 5}" y="${last.y - NODE.height / 2 - 8}">${visible(shape, 22)}</text>`;
}

/** Straight down where it can be, else a soft S from rank to rank. */
function curve(path: readonly Place[]): string {
  const half = NODE.height / 2;
  return path
    .map((p, i) => {
      const before = path[i - 1];
      if (!before) return `M${p.x} ${p.y + half}`;
      const [y0, y1] = [before.y + half, p.y - half];
      const middle = (y0 + y1) / 2;
      const through = i < path.length - 1 ? `V${p.y + half}` : ''; // a bend goes straight past the nodes of its rank
      return (before.x === p.x ? `V${y1}` : `C${before.x} ${middle} ${p.x} ${middle} ${p.x} ${y1}`) + through;
    })
    .join('');
}
