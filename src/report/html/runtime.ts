/** What onnxruntime made of the model, as opposed to what was planned. */
import type { RunRecord, RuntimeFacts } from '../../record/index.js';
import { count, fixed, isNumber, many, percent, real } from '../text.js';
import { html, name, type Part } from './markup.js';
import { section, sortKey, table } from './page.js';

const MOST = 200;

export function runtimeSection({ runtime: r }: RunRecord): Part {
  if (!r) return undefined;
  const ops = Object.entries(r.ops).sort((a, b) => b[1] - a[1]);
  return section(
    'Runtime',
    `what onnxruntime made of the model: ${percent(r.integerMacsShare)} of MACs in integer kernels`,
    html`<p class="chips">${ops.map(([op, n]) => html`<span>${name(op)} ${count(n)}</span>`)}</p>${chips(
      'Quantize and dequantize nodes left where a fused kernel was expected:',
      r.unfused,
    )}${chips('Multiply-accumulate in float:', r.floatCompute)}${optimizations(r)}${saturation(r)}`,
    true,
  );
}

const chips = (title: string, names: readonly string[]): Part =>
  names.length > 0 &&
  html`<p>${title}</p><p class="chips">${names.slice(0, MOST).map((n) => html`<span>${name(n)}</span>`)}${
    names.length > MOST && html`and ${count(names.length - MOST)} more`
  }</p>`;

function optimizations({ optimizations: o }: RuntimeFacts): Part {
  if (!o) return undefined;
  const same = o.sameTop === undefined ? '' : `, the same top class on ${percent(o.sameTop, 2)}`;
  return html`<p>The quantized model with onnxruntime's optimizations on, against off: cosine ${fixed(
    o.cosine,
    6,
  )}, largest difference ${real(o.maxAbsError)}${same}, over ${many(o.samples, 'sample')}. ${
    o.maxAbsError === 0
      ? 'Both are equal.'
      : 'Kernels that round differently explain small differences; a large one is a bug of a kernel or of a fusion.'
  }</p>`;
}

function saturation({ saturation: s }: RuntimeFacts): Part {
  if (!s) return undefined;
  const risky = s.layers.filter((l) => l.worst > 1).sort((a, b) => b.worst - a.worst);
  if (s.risk === 'none' || !risky.length)
    return html`<p>No pair of adjacent products can exceed 16 bits, so CPUs without VNNI give the same results.</p>`;
  const rows = risky
    .slice(0, MOST)
    .map(
      (l) =>
        html`<tr><th scope="row">${name(l.node, 80)}</th><td class="num" data-v="${sortKey(l.worst)}">${fixed(
          l.worst,
          2,
        )} ×</td><td class="num" data-v="${sortKey(l.share)}">${percent(l.share, 2)}</td><td class="num" data-v="${sortKey(
          l.difference,
        )}">${isNumber(l.difference) ? percent(l.difference, 1) : '–'}</td></tr>`,
    );
  return html`<p${s.risk === 'here' && html` class="bad"`}>${
    s.risk === 'here'
      ? 'This CPU adds pairs of products of uint8 and int8 in 16 bits, which can saturate:'
      : 'This CPU is safe, but CPUs without VNNI add pairs of products of uint8 and int8 in 16 bits. There, the same file can give other results:'
  } ${many(risky.length, 'layer')} ${risky.length === 1 ? 'has' : 'have'} pairs of weights that can. ${
    s.promised ? 'The target promises CPUs that add exactly.' : 'quantize.weights.saturation: safe avoids it.'
  }</p>${table(
    html`<th>layer</th><th class="num">largest sum ÷ 32767</th><th class="num">pairs that can saturate</th><th class="num">results move by</th>`,
    rows,
    'layers that can saturate',
    true,
  )}`;
}
