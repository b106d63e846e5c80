/** Accuracy: both models on the same samples, class by class and answer by answer. */
import { named } from '../../base/lists.js';
import { shareDropInterval } from '../../evaluate/intervals.js';
import type { Agreement, ClassFacts, EvaluationFacts, Flip, RunRecord } from '../../record/index.js';
import { metricChange, metricValue, pValue, summaryTable } from '../summary.js';
import { count, fixed, isNumber, many, percent, signed, visible } from '../text.js';
import { changeAxis, changeBar } from './charts.js';
import { html, name, type Markup, type Part } from './markup.js';
import { section, sortKey, table, together } from './page.js';

/** Classes and flips beyond these are only counted; run.json has all. */
const MOST_CLASSES = 200;
const MOST_FLIPS = 60;

export function resultsTable(record: RunRecord): Markup {
  const rows = summaryTable(record).map(
    (r) =>
      html`<tr${r.note !== '' && html` class="above"`}><th scope="row">${r.metric}</th><td class="num">${
        r.float
      }</td><td class="num">${r.quantized}</td><td class="num ${r.tone}">${r.change}</td></tr>${
        r.note !== '' && html`<tr><td class="note" colspan="4">${r.note}</td></tr>`
      }`,
  );
  return table(
    html`<th>result</th><th class="num">float</th><th class="num">quantized</th><th class="num">change</th>`,
    rows,
    'results',
  );
}

export function accuracySection({ evaluation: e }: RunRecord): Part {
  if (!e) return undefined;
  const classes = e.metrics.find((m) => m.classes?.length)?.classes;
  const flips = e.agreement?.flips ?? [];
  const parts = [
    agreement(e.agreement, e.samples),
    search(e),
    classes && classTable(classes),
    flips.length > 0 && flipList(flips, classes),
  ].filter(Boolean);
  if (!parts.length) return undefined;
  const flipped = (e.agreement?.rightToWrong ?? 0) + (e.agreement?.wrongToRight ?? 0);
  return section(
    'Accuracy',
    `${many(e.samples, 'sample')}${e.agreement ? `, the same answer on ${percent(e.agreement.same)}` : ''}${
      flipped ? `, ${many(flipped, 'answer')} turned right or wrong` : ''
    }`,
    parts,
    true,
  );
}

function agreement(a: Agreement | undefined, samples: number): Part {
  if (!a) return undefined;
  const changed =
    a.rightToWrong === undefined
      ? ''
      : ` ${many(a.rightToWrong, 'answer')} turned from right to wrong and ${count(a.wrongToRight ?? 0)} from ` +
        'wrong to ' +
        `right${
          isNumber(a.mcnemarP)
            ? `; were both models equally good, a difference of that size would come with probability ${pValue(
                a.mcnemarP,
              )} (McNemar, exact)`
            : ''
        }.`;
  const kl = isNumber(a.kl) ? ` The outputs differ by a mean Kullback–Leibler divergence of ${small(a.kl)} nats.` : '';
  return html`<p>${together(
    `Both models give the same answer on ${percent(a.same, 2)} of ${many(samples, 'sample')}.${changed}${kl}`,
  )}</p>`;
}
const small = (x: number): string =>
  x !== 0 && Math.abs(x) < 0.001 ? x.toExponential(1).replace('e-', 'e−') : fixed(x, 4);

function search(e: EvaluationFacts): Part {
  if (!e.search) return undefined;
  const rows = e.search.metrics.map((s) => {
    const gate = e.metrics.find((m) => m.name === s.name);
    return html`<tr><th scope="row">${visible(s.name, 40)}</th><td class="num">${metricValue(
      s,
      s.quantized,
    )}</td><td class="num">${metricChange(s)}</td><td class="num">${
      gate ? metricValue(gate, gate.quantized) : '–'
    }</td><td class="num">${gate ? metricChange(gate) : '–'}</td></tr>`;
  });
  return html`<p>${many(e.search.samples, 'sample')} may choose between recipes; the other ${many(
    e.samples,
    'sample',
  )} judge, and all other figures are of them alone.</p>${table(
    html`<th></th><th class="num">search part</th><th class="num">change</th><th class="num">judging part</th><th class="num">change</th>`,
    rows,
    'search part against judging part',
  )}`;
}

function classTable(all: readonly ClassFacts[]): Part {
  const sorted = [...all].sort((a, b) => a.quantized - a.float - (b.quantized - b.float) || a.class - b.class);
  const intervals = new Map(
    all.map((c) => {
      const [low, high] = shareDropInterval(c.rightToWrong, c.wrongToRight, Math.max(1, c.samples), 0.95);
      return [c, [0 - high, 0 - low] as const];
    }),
  );
  const most = Math.max(...[...intervals].flatMap(([c, i]) => [c.quantized - c.float, ...i].map(Math.abs)), 1e-9);
  const points = (v: number): string => signed(v * 100, 1);
  const rows = sorted.slice(0, MOST_CLASSES).map((c) => {
    const change = c.quantized - c.float;
    const interval = named(intervals, c); // each has one
    const tone = change < 0 ? 'worse' : change > 0 ? 'better' : 'same';
    return html`<tr><th scope="row">${
      c.name === undefined ? `class ${count(c.class)}` : name(c.name, 60)
    }</th><td class="num" data-v="${sortKey(c.samples)}">${count(c.samples)}</td><td class="num" data-v="${sortKey(
      c.float,
    )}">${percent(c.float)}</td><td class="num" data-v="${sortKey(c.quantized)}">${percent(
      c.quantized,
    )}</td><td class="num ${tone}" data-v="${sortKey(change)}">${together(
      `${points(change)} points`,
    )}<span class="note">${points(interval[0])} … ${points(interval[1])}</span></td><td class="wide ${tone}">${changeBar(
      change,
      interval,
      most,
      `${points(change)} points, 95 % interval ${points(interval[0])} to ${points(interval[1])}`,
    )}</td><td class="num" data-v="${sortKey(c.rightToWrong)}">${count(c.rightToWrong)}</td><td class="num" data-v="${sortKey(
      c.wrongToRight,
    )}">${count(c.wrongToRight)}</td></tr>`;
  });
  return html`<h3>By class, worst first</h3><p class="dim">Changes in points, with their 95 % intervals.</p>${table(
    html`<th>class</th><th class="num">samples</th><th class="num">float</th><th class="num">quantized</th><th class="num">change</th><th data-fixed>${changeAxis(most, points)}</th><th class="num">right → wrong</th><th class="num">wrong → right</th>`,
    rows,
    'accuracy by class',
    true,
  )}${
    all.length > MOST_CLASSES &&
    html`<p class="dim">… and ${count(all.length - MOST_CLASSES)} classes more in run.json.</p>`
  }`;
}

function flipList(flips: readonly Flip[], classes: readonly ClassFacts[] | undefined): Part {
  const names = new Map(classes?.map((c) => [c.class, c.name]));
  const called = (c: number): string => {
    const n = names.get(c);
    return n === undefined ? String(c) : visible(n, 40);
  };
  const item = (f: Flip): Markup =>
    html`<li>${thumbnail(f) && html`<img src="${thumbnail(f)}" width="64" height="64" alt="">`}<div>${name(
      f.sample,
      60,
    )}<br><span class="${f.quantized === f.label ? 'good' : 'bad'}">${
      f.quantized === f.label ? 'wrong → right' : 'right → wrong'
    }</span><br><span class="dim">is ${called(f.label)}; float said ${called(f.float)}, quantized says ${called(
      f.quantized,
    )}</span></div></li>`;
  return html`<h3>Answers that turned</h3><ul class="flips">${flips.slice(0, MOST_FLIPS).map(item)}</ul>${
    flips.length > MOST_FLIPS && html`<p class="dim">… and ${count(flips.length - MOST_FLIPS)} more in run.json.</p>`
  }`;
}

/** The picture of a flip, if it is nothing but an inline PNG. */
const thumbnail = ({ thumbnail: t }: Flip): string | undefined =>
  t !== undefined && /^data:image\/png;base64,[A-Za-z0-9+/=]+$/.test(t) ? t : undefined;
export const hasThumbnails = ({ evaluation }: RunRecord): boolean =>
  (evaluation?.agreement?.flips ?? []).slice(0, MOST_FLIPS).some((f) => thumbnail(f) !== undefined);
