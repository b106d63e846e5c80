/** What both models make of the same prompts, the first difference marked. */
import type { GenerationFacts, RunRecord } from '../../record/index.js';
import { generationSentence, speedRows } from '../generation.js';
import { count, visible } from '../text.js';
import { html, type Markup, type Part } from './markup.js';
import { section, table, together } from './page.js';

/** So much of a text is shown. */
const SHOWN = 2000;

export function generationSection({ generation: g }: RunRecord): Part {
  if (!g) return undefined;
  const rows = speedRows(g).map(
    ([name = '', ...cells]) =>
      html`<tr><th scope="row">${name}</th>${cells.map((c) => html`<td class="num">${c}</td>`)}</tr>`,
  );
  return section(
    'Generation',
    generationSentence(g),
    html`<p>${together(`Prompts of the evaluation data, continued by the likeliest token each time${g.cached ? ', with the cache in use' : ''}; ${count(g.threads)} threads, both models in turn.`)}</p>
${table(html`<th></th><th class="num">float</th><th class="num">quantized</th><th class="num">quantized ÷ float</th>`, rows, 'generation')}
${g.prompts.map(promptPart)}`,
    true,
  );
}

function promptPart(p: GenerationFacts['prompts'][number]): Markup {
  const at = firstDifference(p.float, p.quantized);
  return html`<h3>${visible(p.sample, 120)}</h3><p>${visible(p.prompt, SHOWN)}</p><dl><dt>float</dt><dd>${marked(p.float, at)}</dd><dt>quantized, the same for ${count(p.same)} of ${count(p.tokens)} tokens</dt><dd>${marked(p.quantized, at)}</dd></dl>`;
}

/** The place of the first character in which texts differ; undefined where they are the same. */
function firstDifference(a: string, b: string): number | undefined {
  if (a === b) return undefined;
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  return at;
}

const marked = (text: string, at: number | undefined): Markup =>
  at === undefined
    ? html`${visible(text, SHOWN)}`
    : html`${visible(text.slice(0, at), SHOWN)}<mark>${visible(text.slice(at), SHOWN)}</mark>`;
