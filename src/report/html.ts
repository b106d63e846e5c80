/** report.html: the run record as one file that needs nothing else; html/page.ts says what the page may do. */
import type { RunRecord } from '../record/index.js';
import { accuracySection, hasThumbnails, resultsTable } from './html/accuracy.js';
import { generationSection } from './html/generation.js';
import { gateSection, verdictBadge } from './html/gate.js';
import { graphSection } from './html/graph.js';
import { latencySection } from './html/latency.js';
import { layerData, layersSection } from './html/layers.js';
import { html, name, type Markup, type Part } from './html/markup.js';
import { contents, page, together } from './html/page.js';
import { diagnosticsSection, passesSection, provenanceSection, recipeSection } from './html/provenance.js';
import { runtimeSection } from './html/runtime.js';
import { script } from './html/script/index.js';
import { mixedSection, searchSection } from './html/search.js';
import { targetSection } from './html/target.js';
import { sizeSection } from './html/size.js';
import { sensitivitySection } from './html/sensitivity.js';
import { compressionSection } from './html/compression.js';
import { transportSection } from './html/transport.js';
import { trainingSection } from './html/training.js';
import { tiles } from './html/tiles.js';
import { layersOf } from './join.js';
import { saturationSentence } from './saturation.js';
import { story } from './story.js';
import { gateSentence, measured, VERDICTS } from './summary.js';
import { fixed, visible } from './text.js';

export function renderHtml(record: RunRecord): string {
  const title = visible(record.recipe.name, 120);
  const layers = layersOf(record);
  const said = story(record);
  const sections = html`${gateSection(record.gate)}
${targetSection(record)}
${searchSection(record)}
${compressionSection(record)}${trainingSection(record)}${transportSection(record)}
${accuracySection(record)}
${latencySection(record)}
${generationSection(record)}
${sizeSection(record)}
${layersSection(record, layers)}
${sensitivitySection(record)}
${mixedSection(record)}
${graphSection(record, layers)}
${runtimeSection(record)}
${passesSection(record)}
${diagnosticsSection(record)}
${recipeSection(record)}
${provenanceSection(record)}`;
  const titles = [
    ...sections.text.matchAll(/<details class="section" id="[a-z-]+"(?: open)?><summary><h2>([A-Za-z -]+)<\/h2>/g),
  ].map(([, t = '']) => t);
  const body = html`<main>
<h1>${title}</h1>
${about(record)}
${verdictLine(record)}
${saturationBanner(record)}
<div class="tiles">${tiles(record)}</div>
${contents(titles)}
${said.length > 0 && html`<section><h2>What happened</h2><p>${together(said.join(' '))}</p></section>`}
<section><h2>Results</h2>${resultsTable(record)}</section>
${sections}
</main>`;
  return page({ title, body, script, data: layerData(record, layers), images: hasThumbnails(record) });
}

function verdictLine(record: RunRecord): Part {
  const { tone, text } = measured(record);
  const { search: s } = record;
  if (s && record.outcome !== 'failed')
    return html`<p class="verdict ${s.outcome === 'met' ? 'better' : 'worse'}"><strong>${
      s.outcome === 'met' ? 'The limit is kept' : 'The limit is not kept'
    }: ${together(visible(s.sentence, 800))}</strong> ${together(text)}</p>`;
  if (!record.gate || record.outcome === 'failed') return html`<p class="verdict ${tone}">${together(text)}</p>`;
  return html`<p class="verdict ${VERDICTS[record.gate.verdict].tone}">${verdictBadge(record.gate.verdict)} <strong>${together(
    gateSentence(record.gate),
  )}.</strong> ${together(text)}</p>`;
}

function saturationBanner(record: RunRecord): Part {
  const sentence = saturationSentence(record);
  return sentence !== undefined && html`<p class="verdict worse" id="saturation">${together(sentence)}</p>`;
}

function about({ recipe, model, search, environment: e, startedAt, durationMs, quantbench }: RunRecord): Markup {
  return html`<p class="about">${name(model.float.name)} · recipe ${name(recipe.file ?? recipe.name)} · onnxruntime ${visible(
    e.onnxruntime,
  )} on ${visible(e.cpu)} · ${visible(startedAt)} · ${
    search ? html`search ${fixed(search.ms / 1000, 0)} s, of which this run ` : ''
  }${fixed(durationMs / 1000, 1)} s · quantbench ${visible(quantbench)}</p>`;
}
