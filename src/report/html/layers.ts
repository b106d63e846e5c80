/** The table of layers, and the data from which the script draws a row's details. */
import type { Layer } from '../join.js';
import type { PointFacts, RunRecord } from '../../record/index.js';
import { big, count, fixed, isNumber, many, percent, real, span, spread, visible } from '../text.js';
import { html, name, type Markup, type Part } from './markup.js';
import { section, sortKey, table } from './page.js';

interface Column {
  readonly title: string;
  /** What it says, and for what is sorted by number its value. */
  readonly of: (layer: Layer) => { readonly shown: Part; readonly value?: number | undefined } | undefined;
  readonly text?: boolean;
}

const widest = (values: readonly number[] | undefined): number | undefined =>
  values?.reduce((a, b) => Math.max(a, b), 0);
const number = (value: number | undefined, shown: (v: number) => Part): { shown: Part; value: number } | undefined =>
  isNumber(value) ? { shown: shown(value), value } : undefined;

function columns(record: RunRecord): Column[] {
  const total = record.nodes.reduce((n, x) => n + x.macs, 0);
  const note = (text: string): Part => text !== '' && html`<span class="note">${text}</span>`;
  return [
    { title: 'MACs', of: (l) => number(l.node?.macs || undefined, (v) => (total ? percent(v / total) : big(v))) },
    {
      title: 'ran as',
      text: true,
      of: (l) =>
        l.node && {
          shown:
            l.node.ranInteger !== undefined || l.node.kernel !== undefined
              ? ran(l)
              : html`${l.node.planned}<span class="note">as planned</span>`,
        },
    },
    {
      title: 'sensitivity',
      of: (l) =>
        number(l.sensitivity?.score, (v) => html`${real(v)}<span class="note">no. ${l.sensitivity?.rank ?? 0}</span>`),
    },
    { title: 'SQNR', of: (l) => number(l.error?.sqnrDb, (v) => `${fixed(v, 1)} dB`) },
    { title: 'clipped', of: (l) => number(l.point?.clipped, (v) => percent(v, 2)) },
    {
      title: 'type',
      text: true,
      of: (l) =>
        l.point?.dtype === undefined
          ? undefined
          : {
              shown: html`${visible(l.point.dtype, 20)}${note(
                l.point.observer === undefined ? '' : visible(l.point.observer, 40),
              )}`,
            },
    },
    {
      title: 'range',
      of: (l) =>
        l.point?.min && l.point.max
          ? {
              shown: span(l.point.min, l.point.max),
              value: (widest(l.point.max) ?? 0) - l.point.min.reduce((a, b) => Math.min(a, b), 0),
            }
          : undefined,
    },
    {
      title: 'scale',
      of: (l) =>
        l.point?.scale && {
          shown: html`${spread(l.point.scale)}${note(
            l.point.zeroPoint?.some((z) => z !== 0) ? `zero point ${spread(l.point.zeroPoint)}` : '',
          )}`,
          value: widest(l.point.scale),
        },
    },
    {
      title: 'time',
      of: (l) => number(l.quantizedUs ?? l.floatUs, () => html`${us(l.quantizedUs)}${note(`float ${us(l.floatUs)}`)}`),
    },
  ];
}
const us = (t: number | undefined): string => (isNumber(t) ? `${fixed(t, 1)} µs` : '–');

/**
 * How much a layer matters: by its sensitivity, else by its error; what was measured in neither comes last, in its
 * order.
 */
function byImpact(layers: readonly Layer[]): readonly (readonly [Layer, number])[] {
  const key = ({ sensitivity, error }: Layer): readonly [number, number] => [
    sensitivity?.score ?? -Infinity,
    -(error?.sqnrDb ?? Infinity),
  ];
  const desc = (a: number, b: number): number => (a === b ? 0 : b - a);
  return layers
    .map((l, i) => [l, i] as const)
    .sort(([a], [b]) => desc(key(a)[0], key(b)[0]) || desc(key(a)[1], key(b)[1]));
}
/** Whether a row would hold more than a name and a plan. */
const hasFigures = ({ node, error, sensitivity, quantizedUs, floatUs }: Layer): boolean =>
  (node?.macs ?? 0) > 0 || [error?.sqnrDb, sensitivity?.score, quantizedUs, floatUs].some(isNumber);

function ran({ node: n }: Layer): Part {
  const kernel = n?.kernel === undefined ? '' : visible(n.kernel.replace(/^com\.microsoft\./, ''), 60);
  if (n?.ranInteger === undefined) return kernel;
  if (n.ranInteger) return html`integer${kernel && html`<span class="note">${kernel}</span>`}`;
  return html`<span${n.planned === 'integer' && html` class="bad"`}>float${
    n.planned === 'integer' && ', not as planned'
  }</span>${kernel && html`<span class="note">${kernel}</span>`}`;
}

export function layersSection(record: RunRecord, layers: readonly Layer[]): Part {
  if (!layers.length) return undefined;
  const used = columns(record).filter((c) => layers.some((l) => c.of(l) !== undefined));
  const head = html`<th>layer</th>${used.map((c) => html`<th${!c.text && html` class="num"`}>${c.title}</th>`)}`;
  const row = ([l, i]: readonly [Layer, number]): Markup =>
    html`<tr id="layer-${i}"><th scope="row">${name(l.name, 100)}<span class="note">${visible(l.op, 60)}${
      l.node?.body !== undefined && html` in ${visible(l.node.body, 100)}`
    }</span></th>${used.map((c) => cell(c, l))}</tr>`;
  const sorted = byImpact(layers);
  const [shown, folded] = [sorted.filter(([l]) => hasFigures(l)), sorted.filter(([l]) => !hasFigures(l))];
  const all = shown.length ? shown : folded;
  const rest =
    shown.length > 0 &&
    folded.length > 0 &&
    html`<details><summary>${many(folded.length, 'row')} without figures of their own</summary>${table(
      head,
      folded.map(row),
      'other layers and points',
      true,
    )}</details>`;
  return section(
    'Layers',
    `${many(record.nodes.length, 'node')}, ${many(record.points.length, 'quantization point')}`,
    html`<p class="dim">Those that matter most first: by sensitivity, else by error. Range, scale and zero point are those of a node's output, or of its weight where the output has none. A click on a row, or Enter on its name, shows the histograms with the clipping ranges, saturation and dead channels.</p>${table(head, all.map(row), 'layers', true)}${rest}`,
    true,
  );
}

function cell(c: Column, l: Layer): Markup {
  const made = c.of(l);
  if (c.text) return html`<td>${made?.shown}</td>`;
  return html`<td class="num" data-v="${sortKey(made?.value)}">${made?.shown}</td>`;
}

/** What the script shows under an opened row. All strings are ready to be shown; it only draws. */
export function layerData(record: RunRecord, layers: readonly Layer[]): unknown {
  return {
    layers: layers.map((l) => ({ points: l.points, facts: factsOf(l) })),
    points: record.points.map((p) => ({
      title: visible(p.name, 120),
      role: p.role,
      about: about(p),
      because: visible(p.because, 300),
      ...histogramOf(p),
      ...channelsOf(p),
    })),
  };
}

function factsOf({ node, error: e, sensitivity: s, pairSum }: Layer): string[] {
  return [
    node?.because !== undefined && `Stays float: ${visible(node.because, 300)}`,
    node?.planned === 'integer' &&
      node.ranInteger === false &&
      'Planned in integers, but onnxruntime runs it in float.',
    e &&
      `Output against float: ${isNumber(e.sqnrDb) ? `SQNR ${fixed(e.sqnrDb, 1)} dB, ` : ''}cosine ` +
        `${fixed(e.cosine, 5)}${
          isNumber(e.saturated) ? `, ${percent(e.saturated, 2)} at the lowest or highest code` : ''
        }${e.deadChannels ? `, ${count(e.deadChannels)} of ${count(e.channels ?? 0)} channels dead` : ''}.`,
    s && `Sensitivity no. ${count(s.rank)}: ${real(s.score)}, ${percent(s.share)} of the sum of all layers.`,
    isNumber(pairSum) &&
      pairSum > 1 &&
      `Two adjacent products can reach ${fixed(pairSum, 2)} × what 16 bits hold on CPUs without VNNI.`,
  ].filter((f) => typeof f === 'string');
}

/** Such as `activation, uint8 asymmetric per tensor, observed by kl`, then ranges. */
function about(p: PointFacts): string[] {
  const type = [
    p.dtype,
    p.symmetric === undefined ? undefined : p.symmetric ? 'symmetric' : 'asymmetric',
    p.granularity && `per ${visible(p.granularity, 40)}`,
  ]
    .filter(Boolean)
    .join(' ');
  return [
    [p.role, type, `${p.kind}${p.observer ? ` by ${visible(p.observer, 60)}` : ''}`].filter(Boolean).join(', '),
    [
      span(p.observedMin, p.observedMax) && `seen ${span(p.observedMin, p.observedMax)}`,
      span(p.min, p.max) && `chosen ${span(p.min, p.max)}`,
      isNumber(p.clipped) && `${percent(p.clipped, 3)} clipped`,
    ]
      .filter(Boolean)
      .join(' · '),
    [spread(p.scale) && `scale ${spread(p.scale)}`, spread(p.zeroPoint) && `zero point ${spread(p.zeroPoint)}`]
      .filter(Boolean)
      .join(' · '),
  ].filter(Boolean);
}

/** Heights 00…99 on a logarithmic scale, two digits a bin, with the ends of the drawing and of the chosen range. */
function histogramOf({ histogram: h, min, max }: PointFacts): object {
  if (!h || !isNumber(h.low) || !isNumber(h.high) || !(h.high > h.low) || !h.counts.length) return {};
  const most = h.counts.reduce((a, b) => Math.max(a, b), 0);
  const [low, high] = [least(min), widestOf(max)];
  const ends = [h.low, h.high, ...[low, high].filter((v) => v !== undefined)];
  const from = Math.min(...ends);
  const to = Math.max(...ends);
  const place = (v: number): number => Math.round(((v - from) / (to - from)) * 1000) / 10;
  return {
    bins: digits(h.counts.map((n) => (most > 0 ? Math.log1p(n) / Math.log1p(most) : 0))),
    start: place(h.low),
    end: place(h.high),
    ...(low === undefined ? {} : { low: place(low), lowText: real(low) }),
    ...(high === undefined ? {} : { high: place(high), highText: real(high) }),
    fromText: real(from),
    toText: real(to),
    most: count(most),
  };
}

/** Scales per channel from small to large on a logarithmic scale: a steep curve is a case for equalisation. */
function channelsOf({ scale }: PointFacts): object {
  const positive = scale?.filter((s) => isNumber(s) && s > 0).sort((a, b) => a - b) ?? [];
  const [low, high] = [positive[0], positive.at(-1)];
  if (positive.length < 4 || low === undefined || high === undefined || high === low) return {};
  const shown = Math.min(64, positive.length);
  const at = Array.from(
    { length: shown },
    (_, i) => positive[Math.round((i / (shown - 1)) * (positive.length - 1))] ?? low,
  );
  return {
    scales: digits(at.map((s) => Math.log(s / low) / Math.log(high / low))),
    scalesText:
      `${count(positive.length)} channels by scale, ${real(low)} … ${real(high)}: the widest is ` +
      `${real(Number((high / low).toPrecision(2)))} × the narrowest`,
  };
}

const digits = (shares: readonly number[]): string =>
  shares.map((s) => String(Math.round(s * 99)).padStart(2, '0')).join('');
const least = (values: readonly number[] | undefined): number | undefined =>
  values?.filter(isNumber).reduce<number | undefined>((a, b) => (a === undefined ? b : Math.min(a, b)), undefined);
const widestOf = (values: readonly number[] | undefined): number | undefined =>
  values?.filter(isNumber).reduce<number | undefined>((a, b) => (a === undefined ? b : Math.max(a, b)), undefined);
