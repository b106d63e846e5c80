/** Training: curves, the control, and what it took. */
import type { FittedFacts, RunRecord, TrainingFacts } from '../../record/index.js';
import { CALLED, NAMES, scoreSentence } from '../training.js';
import { bytes, count, fixed, real, visible } from '../text.js';
import { anchorAt, at, roundTicks } from './charts.js';
import { html, type Markup, type Part } from './markup.js';
import { section, table, together } from './page.js';

const HEIGHT = 120;

export function trainingSection({ training: t }: RunRecord): Part {
  if (!t) return undefined;
  const said = scoreSentence(t);
  const seconds = t.fitted.reduce((n, f) => n + f.seconds, 0);
  return section(
    'Training',
    `${count(t.fitted.reduce((n, f) => n + f.steps, 0))} steps in ${fixed(seconds, 0)} s`,
    html`${said !== undefined && html`<p>${together(said)}</p>`}${madeOf(t)}${scores(t)}${t.fitted.map(curve)}${fittedTable(t)}`,
    true,
  );
}

const madeOf = ({ student: s }: TrainingFacts): Part =>
  s &&
  html`<p>The student: ${s.made.map((m) => visible(m, 120)).join(', ')}; ${count(s.parameters.student)} of ${count(s.parameters.teacher)} parameters.</p>`;

function scores({ scores: all }: TrainingFacts): Part {
  const metrics = all[0]?.metrics ?? [];
  if (!metrics.length) return undefined;
  const rows = all.map(
    (s) =>
      html`<tr><th scope="row">${NAMES[s.name]}</th>${s.metrics.map((m) => html`<td class="num">${fixed(m.value, 2)} ${visible(m.unit, 20)}</td>`)}</tr>`,
  );
  return table(
    html`<th>float model</th>${metrics.map((m) => html`<th class="num">${visible(m.name, 40)}</th>`)}`,
    rows,
    'scores',
  );
}

function fittedTable({ fitted }: TrainingFacts): Markup {
  const rows = fitted.map(
    (f) =>
      html`<tr><th scope="row">${f.name}</th><td class="num">${count(f.parameters)}</td><td class="num">${count(f.learned)}</td><td class="num">${count(f.judged)}</td><td class="num">${count(f.batch)}</td><td class="num">${count(f.steps)}</td><td class="num">${fixed(f.seconds, 0)} s</td><td class="num">${bytes(f.peakBytes)}</td></tr>`,
  );
  return table(
    html`<th>trained</th><th class="num">weights</th><th class="num">samples</th><th class="num">held back</th><th class="num">batch</th><th class="num">steps</th><th class="num">time</th><th class="num">memory</th>`,
    rows,
    'training',
  );
}

/** The loss by steps as a line, and beside it, on its own axis, what held-back samples said. */
function curve(f: FittedFacts): Part {
  const judged = f.curve.filter((p): p is typeof p & { metric: number } => p.metric !== undefined);
  const loss = line(
    `Loss of the ${CALLED[f.name]} by step`,
    f.curve.map((p) => [p.step, p.loss]),
    f.steps,
  );
  const metric = f.best
    ? line(
        `${f.best.metric} of the ${CALLED[f.name]} on held-back samples`,
        judged.map((p) => [p.step, p.metric]),
        f.steps,
        f.best.step,
      )
    : undefined;
  return html`${loss}${metric}`;
}

function line(title: string, points: readonly (readonly [number, number])[], most: number, mark?: number): Part {
  const finite = points.filter(([, y]) => Number.isFinite(y));
  if (finite.length < 2) return undefined;
  const ys = finite.map(([, y]) => y);
  const [low, high] = [Math.min(...ys), Math.max(...ys)];
  const y = (v: number): number => (high > low ? (high - v) / (high - low) : 0.5);
  const path = finite.map(([s, v], i) => `${i ? 'L' : 'M'}${round((100 * s) / most)} ${round(100 * y(v))}`).join('');
  const words = `${title}: from ${real(ys[0])} to ${real(ys.at(-1))}, between ${real(low)} and ${real(high)}`;
  const ticks = roundTicks(0, most, 5).map(
    (v) => html`<text x="${at(v / most)}" y="12" text-anchor="${anchorAt(v / most)}">${count(v)}</text>`,
  );
  const best = finite.find(([s]) => s === mark);
  return html`<figure class="chart"><figcaption>${title}; from ${real(low)} (bottom) to ${real(high)} (top)</figcaption><svg class="spread" height="${HEIGHT}" role="img" aria-label="${words}"><svg width="100%" height="${HEIGHT}" viewBox="0 0 100 100" preserveAspectRatio="none"><path class="curve" vector-effect="non-scaling-stroke" d="${path}"/></svg>${best && html`<circle class="dot" cx="${at(best[0] / most)}" cy="${round(HEIGHT * y(best[1]))}" r="5"/>`}</svg><svg class="ticks" height="16" aria-hidden="true">${ticks}</svg></figure>`;
}
const round = (v: number): number => Math.round(v * 10) / 10;
