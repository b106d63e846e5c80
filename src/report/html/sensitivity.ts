/** How much each layer alone costs, as bars. */
import type { RunRecord } from '../../record/index.js';
import { count, fixed, many, percent, real } from '../text.js';
import { bar } from './charts.js';
import { html, name, type Part } from './markup.js';
import { section, table } from './page.js';

const MOST = 20;

export function sensitivitySection({ sensitivity: s }: RunRecord): Part {
  if (!s?.layers.length) return undefined;
  const top = s.layers[0]?.score ?? 0;
  const rows = s.layers
    .slice(0, MOST)
    .map(
      (l) =>
        html`<tr><th scope="row">${name(l.node, 80)}</th><td class="wide">${bar(
          top > 0 ? l.score / top : 0,
        )}</td><td class="num">${real(l.score)}</td><td class="num">${percent(l.share)}</td></tr>`,
    );
  const measure =
    s.measure === 'kl'
      ? 'mean Kullback–Leibler divergence of the softmaxed outputs from float, in nats'
      : s.measure === 'loss'
        ? 'mean rise of the cross-entropy with the labels, in nats,'
        : 'Σ error² ÷ Σ float² of the outputs';
  return section(
    'Sensitivity',
    `one layer quantized at a time, ${many(s.samples, 'sample')}`,
    html`<p>Each score is the ${
      measure
    } with only that layer quantized, most sensitive first. Layers at the top are the ones to leave in float or to give more bits. Measured in ${fixed(s.ms / 1000, 1)} s.</p>${table(html`<th>layer</th><th></th><th class="num">score</th><th class="num">share of all</th>`, rows, 'sensitivity by layer')}${s.layers.length > MOST && html`<p class="dim">… and ${count(s.layers.length - MOST)} layers more in the table of layers.</p>`}`,
    true,
  );
}
