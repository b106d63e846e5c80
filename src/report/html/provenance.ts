/** Where results come from: findings, files, hashes, versions, clean-up, sizes. */
import { fold, moreText } from '../../base/findings.js';
import type { RunRecord } from '../../record/index.js';
import { big, bytes, count, fixed, json, many, plain, visible, visibleLines } from '../text.js';
import { html, name, type Markup, type Part } from './markup.js';
import { section, table } from './page.js';

export function diagnosticsSection({ diagnostics: all }: RunRecord): Part {
  const kinds = fold(all);
  const place = (where: Readonly<Record<string, unknown>> | undefined): Part =>
    Object.entries(where ?? {}).map(([key, value]) => html` · ${key} ${name(String(value))}`);
  const list = kinds.length
    ? html`<ul class="plain">${kinds.map(
        ({ first: d, ...kind }) =>
          html`<li><span class="badge${
            d.severity !== 'note' && ' bad'
          }">${d.severity}</span> <code>${visible(d.code)}</code> ${visible(d.message, 2000)}${
            kind.more > 0 && html` <strong>${visible(moreText({ first: d, ...kind }), 500)}</strong>`
          }<span class="dim">${place({ ...d.where })}${
            d.hint !== undefined && html` · ${visible(d.hint, 500)}`
          }</span></li>`,
      )}</ul>`
    : html`<p>Nothing to report.</p>`;
  return section(
    'Diagnostics',
    all.length ? many(all.length, 'finding') : 'none',
    list,
    all.some((d) => d.severity !== 'note'),
  );
}

export function passesSection({ passes }: RunRecord): Part {
  if (!passes.length) return undefined;
  const rows = passes.map(
    (p) =>
      html`<tr><th scope="row">${name(p.pass)}</th><td class="num">${count(p.changes)}</td><td class="num">${count(
        p.nodesBefore,
      )}</td><td class="num">${count(p.nodesAfter)}</td></tr>`,
  );
  return section(
    'Clean-up',
    `${many(passes.filter((p) => p.changes).length, 'pass', 'passes')} changed the graph`,
    table(
      html`<th>pass</th><th class="num">changes</th><th class="num">nodes before</th><th class="num">nodes after</th>`,
      rows,
      'passes',
    ),
    false,
  );
}

export const recipeSection = ({ recipe }: RunRecord): Part =>
  section(
    'Recipe as resolved',
    'run it again with this',
    html`<pre tabindex="0">${visibleLines(recipe.yaml)}</pre>`,
    false,
  );

export function provenanceSection({
  model,
  environment: e,
  seeds,
  files,
  stages,
  calibration,
  evaluation,
}: RunRecord): Part {
  const row = (title: Part, value: Part): Markup =>
    html`<tr><th scope="row">${title}</th><td class="hash">${value}</td></tr>`;
  const facts = (m: RunRecord['model']['float']): Markup =>
    html`${name(m.name)}, ${bytes(m.bytes)}, ${big(m.parameters)} parameters, ${count(m.nodes)} nodes, opset ${plain(
      m.opset,
    )}, IR ${plain(m.irVersion)}<br><code>${visible(m.sha256)}</code>`;
  const rows = [
    row('float model', facts(model.float)),
    ...(model.quantized ? [row('quantized model', facts(model.quantized))] : []),
    row('machine', visible(`${e.cpu}, ${count(e.cores)} cores, ${bytes(e.memoryBytes)}, ${e.platform} ${e.arch}`, 500)),
    row('CPU features', visible(e.cpuFeatures.join(', '), 500)),
    row('versions', visible(`node ${e.node}, onnxruntime ${e.onnxruntime}`)),
    row(
      'seeds',
      visible(
        Object.entries(seeds)
          .map(([key, seed]) => `${key} ${plain(seed)}`)
          .join(', '),
        500,
      ),
    ),
    row('time', visible(stages.map((s) => `${s.name} ${fixed(s.ms / 1000, 2)} s`).join(', '), 500)),
    ...(evaluation?.sampleSet === undefined
      ? []
      : [row('evaluation samples', html`<code>${visible(evaluation.sampleSet)}</code>`)]),
    ...files.map((f) =>
      row(
        name(f.path),
        html`${bytes(f.bytes)}${f.role === 'sidecar' ? ', goes with the model' : ''}<br><code>${visible(
          f.sha256,
        )}</code>`,
      ),
    ),
  ];
  const data = (title: string, d: unknown): Part =>
    d !== undefined && d !== null && html`<p>${title}</p><pre tabindex="0">${visibleLines(json(d))}</pre>`;
  return section(
    'Provenance',
    'hashes, versions, machine, data',
    html`<div class="provenance">${table(html`<th></th><th></th>`, rows, 'provenance')}</div>${data(
      'Calibration data',
      calibration?.data,
    )}${data('Evaluation data', evaluation?.data)}`,
    false,
  );
}
