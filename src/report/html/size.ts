/** Size: both files, and where the bytes of the quantized one are. */
import type { ModelFacts, RunRecord, StoredTensor } from '../../record/index.js';
import { keptLarge } from '../size.js';
import { big, bytes, count, fixed, isNumber, percent, visible } from '../text.js';
import { bar } from './charts.js';
import { html, name, type Markup, type Part } from './markup.js';
import { section, sortKey, table, together } from './page.js';

/** Tensors beyond these are summed. */
const MOST_TENSORS = 15;

export function sizeSection(record: RunRecord): Part {
  const {
    model: { float, quantized },
    files,
  } = record;
  if (!quantized) return undefined;
  const most = Math.max(float.bytes, quantized.bytes, 1);
  const row = (title: string, m: ModelFacts, kind: 'float' | 'int'): Markup =>
    html`<tr><th scope="row">${title}</th><td class="wide">${bar(m.bytes / most, kind)}</td><td class="num">${bytes(
      m.bytes,
    )}</td><td class="num">${big(m.parameters)}</td><td class="num">${fixed(
      (m.bytes * 8) / Math.max(1, m.parameters),
      1,
    )}</td></tr>`;
  const written = files.map(
    (f) =>
      html`<tr><th scope="row">${name(f.path)}</th><td></td><td class="num">${bytes(
        f.bytes,
      )}</td><td></td><td></td></tr>`,
  );
  const kept = keptLarge(record);
  return section(
    'Size',
    `${bytes(float.bytes)} → ${bytes(quantized.bytes)}, ${percent(quantized.bytes / float.bytes)} of float`,
    html`${kept.map((k) => html`<p>${together(k)}</p>`)}${table(
      html`<th>model</th><th></th><th class="num">bytes</th><th class="num">parameters</th><th class="num">bits a parameter</th>`,
      [row('float', float, 'float'), row('quantized', quantized, 'int'), ...written],
      'sizes',
    )}<p class="dim">Bits a parameter are all bytes of the file over the parameters of that file: graph, scales and biases count too.</p>${tensors(quantized)}`,
    false,
  );
}

/** The largest tensors of the quantized file, then the rest of it. */
function tensors({ largest = [], tensorBytes, bytes: all }: ModelFacts): Part {
  if (!largest.length || !isNumber(tensorBytes)) return undefined;
  const shown = largest.slice(0, MOST_TENSORS);
  const most = Math.max(largest[0]?.bytes ?? 1, 1);
  const row = (t: StoredTensor): Markup =>
    html`<tr><th scope="row">${name(t.name, 80)}<span class="note">${visible(t.op, 40)}</span></th><td>${visible(
      t.dtype,
      20,
    )}</td><td class="wide">${bar(
      t.bytes / most,
      /^float|^bfloat/.test(t.dtype) ? 'float' : 'int',
    )}</td><td class="num" data-v="${sortKey(t.bytes)}">${together(bytes(t.bytes))}</td><td class="num" data-v="${sortKey(
      t.bytes,
    )}">${percent(t.bytes / all)}</td></tr>`;
  const rest = tensorBytes - shown.reduce((n, t) => n + t.bytes, 0);
  const foot = html`<tr><th scope="row">all other tensors</th><td></td><td></td><td class="num">${together(
    bytes(rest),
  )}</td><td class="num">${percent(
    rest / all,
  )}</td></tr><tr><th scope="row">graph, names and attributes</th><td></td><td></td><td class="num">${together(
    bytes(Math.max(0, all - tensorBytes)),
  )}</td><td class="num">${percent(Math.max(0, all - tensorBytes) / all)}</td></tr>`;
  return html`<h3>Where the bytes of the quantized model are</h3><p class="dim">The ${count(
    shown.length,
  )} largest tensors, with the op that reads each. Bars of float tensors have the colour of float.</p>${table(
    html`<th>tensor</th><th>type</th><th data-fixed></th><th class="num">bytes</th><th class="num">of the file</th>`,
    shown.map(row),
    'largest tensors',
    true,
    foot,
  )}`;
}
