/** compare.html: several runs of one model beside each other, as one file that needs nothing else. */
import type { CompareRecord, CompareRun } from '../../record/index.js';
import { verdictBadge } from '../html/gate.js';
import { html, name, type Markup } from '../html/markup.js';
import { page, section, sortKey, table, together } from '../html/page.js';
import { tableScript } from '../html/script/index.js';
import { bytes, count, fixed, many, visible } from '../text.js';
import { choice, compareColumns, isBest, letter, type CompareColumn } from './columns.js';
import { curve } from './curve.js';
import { scatter } from './scatter.js';

export function renderCompareHtml(record: CompareRecord): string {
  const title = visible(record.name, 120);
  const e = record.environment;
  const failed = record.runs.filter((r) => r.outcome === 'failed');
  const body = html`<main>
<h1>${title}</h1>
<p class="about">${name(record.model.name)}, ${bytes(record.model.bytes)} · ${many(
    record.runs.length,
    'run',
  )} · onnxruntime ${visible(e.onnxruntime)} on ${visible(e.cpu)} · ${visible(record.startedAt)} · ${fixed(
    record.durationMs / 1000,
    1,
  )} s · quantbench ${visible(record.quantbench)}</p>
<p class="verdict ${record.chosen ? 'better' : 'unsure'}">${together(visible(choice(record), 600))}</p>
${scatter(record)}${curve(record)}
<section><h2>Runs</h2>${runsTable(record)}<p class="dim">★ marks the best of a column.${
    record.samples !== undefined && ` Accuracy is that on ${many(record.samples, 'sample')}.`
  } Runs are ranked on ${visible(record.chosenOn, 200)}.</p></section>
${
  failed.length > 0 &&
  section(
    'Failed runs',
    many(failed.length, 'run'),
    html`<ul class="plain">${failed.map(
      (r) =>
        html`<li><span class="badge bad">failed</span> ${name(r.label)} ${visible(
          r.error ?? 'without a message',
          2000,
        )}</li>`,
    )}</ul>`,
    true,
  )
}
${
  record.notes.length > 0 &&
  section(
    'Notes',
    count(record.notes.length),
    html`<ul class="plain">${record.notes.map((n) => html`<li>${together(visible(n, 1000))}</li>`)}</ul>`,
    true,
  )
}
<section><h2>Model</h2><p class="about hash">${name(record.model.name)} <code>${visible(
    record.model.sha256,
  )}</code></p></section>
</main>`;
  return page({ title, body, script: tableScript });
}

function runsTable(record: CompareRecord): Markup {
  const columns = compareColumns(record);
  const gated = record.runs.some((r) => r.gate);
  const head = html`<th>run</th>${gated && html`<th>gate</th>`}${columns.map(
    (c) => html`<th class="num">${c.title}</th>`,
  )}`;
  const foot = html`<tr class="float"><th scope="row">float</th>${gated && html`<td></td>`}${columns.map(
    (c) => html`<td class="num">${c.float !== undefined && together(c.float)}</td>`,
  )}</tr>`;
  return table(
    head,
    record.runs.map((run, i) => row(run, letter(i), columns, record, gated)),
    'runs',
    true,
    foot,
  );
}

function row(
  run: CompareRun,
  key: string,
  columns: readonly CompareColumn[],
  record: CompareRecord,
  gated: boolean,
): Markup {
  const chosen = record.chosen?.label === run.label;
  const cells = columns.map((c) => {
    const best = isBest(c, run, record.runs);
    const value = c.value(run);
    const note = run.outcome === 'ok' ? c.note?.(run) : undefined;
    return html`<td class="num${best && ' better'}" data-v="${sortKey(value)}">${best && '★ '}${
      run.outcome === 'ok' && together(c.shown(run))
    }${note && html`<span class="note">${together(note)}</span>`}</td>`;
  });
  const marks = [
    chosen && html`<span class="badge better">chosen</span> `,
    run.outcome === 'failed'
      ? html`<span class="badge bad">failed</span>`
      : run.front && html`<span class="badge">front</span>`,
  ];
  return html`<tr${chosen && html` class="chosen"`}><th scope="row"><span class="dim">${key}</span> ${name(
    run.label,
  )} ${marks}<span class="note">${visible(run.summary, 300)}</span></th>${
    gated && html`<td>${run.gate && verdictBadge(run.gate.verdict)}</td>`
  }${cells}</tr>`;
}
