/** The roofline of a model as one SVG file: nodes by FLOPs per byte, under what the device can reach. */
import { item } from '../base/lists.js';
import type { ModelCost } from '../cost/nodes.js';
import { intensityOf, type Roofline } from '../cost/roofline.js';
import { html, Markup } from './html/markup.js';
import { big, real, visible } from './text.js';

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [860, 460, 76, 52, 40];

/** Both axes logarithmic; a circle a node, as large as its share of the time. */
export function renderRoofline(title: string, cost: ModelCost, { device, ridge, seconds, nodes }: Roofline): string {
  const points = cost.nodes
    .flatMap((n, i) => {
      const at = item(nodes, i); // one for each node
      return n.flops > 0 && at.seconds > 0
        ? [
            {
              name: n.name,
              x: intensityOf(n),
              y: (n.flops * n.times) / at.seconds,
              share: at.seconds / seconds,
              bound: at.boundBy,
            },
          ]
        : [];
    })
    .filter((p) => p.x > 0);
  const decade = (v: number): number => Math.log10(v);
  const xs = [
    Math.floor(Math.min(-1, ...points.map((p) => decade(p.x)))),
    Math.ceil(Math.max(decade(ridge) + 0.5, ...points.map((p) => decade(p.x)))),
  ] as const;
  const ys = [
    Math.floor(decade(device.bytesPerSecond) + xs[0]),
    Math.ceil(decade(device.flopsPerSecond) + 0.1),
  ] as const;
  const x = (v: number): number => LEFT + ((decade(v) - xs[0]) / (xs[1] - xs[0])) * (WIDTH - LEFT - 20);
  const y = (v: number): number => HEIGHT - BOTTOM - ((decade(v) - ys[0]) / (ys[1] - ys[0])) * (HEIGHT - BOTTOM - TOP);
  const ticks = (from: number, to: number): number[] =>
    Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i));
  const roof =
    `M${x(10 ** xs[0])} ${y(device.bytesPerSecond * 10 ** xs[0])}L${x(ridge)} ` +
    `${y(device.flopsPerSecond)}L${x(10 ** xs[1])} ${y(device.flopsPerSecond)}`;
  const style =
    'text{font:12px ' +
    'system-ui,sans-serif;fill:#24292f}.grid{stroke:#d0d7de}.roof{stroke:#24292f;stroke-width:2;fill:none}.memory{fill:#bf8700;fill-opacity:.6}.compute{fill:#0969da;fill-opacity:.6}@media(prefers-color-scheme:dark){svg{background:#0d1117}text{fill:#e6edf3}.grid{stroke:#30363d}.roof{stroke:#e6edf3}}';
  return html`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${`roofline of ${visible(title)}`}"><style>${new Markup(style)}</style>
<text x="${LEFT}" y="20" font-weight="600">${visible(title, 80)} on ${visible(device.name, 60)}: at least ${real(
    1000 * seconds,
  )} ms</text>
${ticks(xs[0], xs[1]).map(
  (v) =>
    html`<line class="grid" x1="${x(v)}" x2="${x(v)}" y1="${TOP}" y2="${
      HEIGHT - BOTTOM
    }"/><text x="${x(v)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${real(v)}</text>`,
)}
${ticks(ys[0], ys[1]).map(
  (v) =>
    html`<line class="grid" x1="${LEFT}" x2="${WIDTH - 20}" y1="${y(v)}" y2="${y(
      v,
    )}"/><text x="${LEFT - 8}" y="${y(v) + 4}" text-anchor="end">${big(v)}</text>`,
)}
<path class="roof" d="${roof}"/>
${points.map(
  (p) =>
    html`<circle class="${p.bound}" cx="${x(p.x).toFixed(1)}" cy="${y(p.y).toFixed(1)}" r="${(
      3 +
      22 * Math.sqrt(p.share)
    ).toFixed(
      1,
    )}"><title>${visible(p.name)}: ${(100 * p.share).toFixed(1)} % of the time, bound by ${p.bound}</title></circle>`,
)}
<text x="${(LEFT + WIDTH) / 2}" y="${HEIGHT - 12}" text-anchor="middle">FLOPs per byte moved</text><text x="${
    LEFT - 8
  }" y="${TOP - 10}" text-anchor="end">FLOP/s</text><text x="${WIDTH - 28}" y="${
    HEIGHT - BOTTOM - 10
  }" text-anchor="end">blue: bound by arithmetic · amber: by memory · area: share of the time</text></svg>
`.text;
}
