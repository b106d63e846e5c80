/** Average precision over images that may be resampled: detections are matched once per image, and weighed by how often it is drawn. */
import type { TargetBox } from '../ir/feed.js';
import { multiplicities } from './accumulators.js';
import { overlap, type Detection } from './detections.js';

/** One detection against the objects of its image: bit t of `hit` (`ignored`) is set where it is right (does not count) at IoU threshold t. */
interface Judged { readonly score: number; readonly image: number; readonly hit: number; readonly ignored: number }
interface OfClass { readonly judged: Judged[]; readonly objects: Map<number, number> }

/** Bits of one detection after another, for the detections (highest score first) and objects of one class in one image. */
export type Match = (found: readonly Detection[], objects: readonly TargetBox[]) => readonly { readonly hit: number; readonly ignored: number }[];
/** Average precision from recall (rising) and precision made falling, `length` of each. */
export type Interpolate = (recall: Float64Array, precision: Float64Array, length: number) => number;

export class PrecisionMeter {
  readonly #match: Match;
  readonly #thresholds: number;
  readonly #interpolate: Interpolate;
  readonly #classes = new Map<number, OfClass>();
  /** Detections of no class: wrong in each class. */
  readonly #stray: Judged[] = [];
  #images = 0;
  #sorted: (readonly [ofClass: OfClass, judged: readonly Judged[]])[] | undefined;
  constructor(match: Match, thresholds: number, interpolate: Interpolate) { this.#match = match; this.#thresholds = thresholds; this.#interpolate = interpolate; }

  get images(): number { return this.#images; }

  /** `found` is by falling score. */
  add(found: readonly Detection[], objects: readonly TargetBox[]): void {
    const image = this.#images++;
    this.#sorted = undefined;
    for (const label of new Set([...found, ...objects].map((x) => x.label))) {
      const own = found.filter((d) => d.label === label);
      if (label < 0) { this.#stray.push(...own.map(({ score }) => ({ score, image, hit: 0, ignored: 0 }))); continue; }
      const theirs = objects.filter((o) => o.label === label);
      const ofClass = this.#classes.get(label) ?? { judged: [], objects: new Map<number, number>() };
      this.#classes.set(label, ofClass);
      const counted = theirs.filter((o) => !isIgnored(o)).length;
      if (counted) ofClass.objects.set(image, counted);
      this.#match(own, theirs).forEach((bits, i) => ofClass.judged.push({ score: own[i]!.score, image, ...bits })); // one per detection
    }
  }

  /** Mean over classes that have objects, and over thresholds, in %; undefined where no class has any. */
  value(images: Uint32Array): number | undefined {
    const weights = multiplicities(images, this.#images);
    this.#sorted ??= [...this.#classes.values()].map((c) => [c, [...c.judged, ...this.#stray].sort((a, b) => (a.score === b.score ? a.image - b.image : b.score - a.score))] as const);
    let sum = 0;
    let classes = 0;
    for (const [{ objects }, judged] of this.#sorted) {
      let total = 0;
      for (const [image, n] of objects) total += n * weights[image]!;
      if (!total) continue;
      classes++;
      const recall = new Float64Array(judged.length);
      const precision = new Float64Array(judged.length);
      for (let t = 0; t < this.#thresholds; t++) sum += this.#interpolate(recall, precision, curve(judged, weights, t, total, recall, precision));
    }
    return classes ? (100 * sum) / (classes * this.#thresholds) : undefined;
  }
}

const isIgnored = (o: TargetBox): boolean => (o.crowd ?? false) || (o.difficult ?? false);

/**
 * Fills recall and precision, the latter made falling from the end. An image drawn w times gives w equal detections in a
 * row: the points between them lie under the envelope, so the last alone is kept.
 */
function curve(judged: readonly Judged[], weights: Uint32Array, t: number, total: number, recall: Float64Array, precision: Float64Array): number {
  const bit = 1 << t;
  let hits = 0;
  let misses = 0;
  let length = 0;
  for (const d of judged) {
    const w = weights[d.image]!;
    if (!w || d.ignored & bit) continue;
    if (d.hit & bit) hits += w;
    else misses += w;
    recall[length] = hits / total;
    precision[length++] = hits / (hits + misses);
  }
  for (let i = length - 2; i >= 0; i--) precision[i] = Math.max(precision[i]!, precision[i + 1]!);
  return length;
}

/** Mean precision at recalls 0, 1/(points − 1), …, 1; 0 beyond the highest recall. COCO uses 101 points, VOC2007 11. */
export const atPoints = (points: number): Interpolate => (recall, precision, length) => {
  let sum = 0;
  for (let p = 0, i = 0; p < points; p++) {
    const wanted = points === 101 ? p * 0.01 : p / (points - 1); // numpy.linspace(0, 1, 101) multiplies by 0.01
    while (i < length && recall[i]! < (p === points - 1 ? 1 : wanted)) i++;
    if (i < length) sum += precision[i]!;
  }
  return sum / points;
};

/** Area under the falling precision, as VOC2010 and later. */
export const areaUnder: Interpolate = (recall, precision, length) => {
  let area = 0;
  for (let i = 0, before = 0; i < length; i++) { area += (recall[i]! - before) * precision[i]!; before = recall[i]!; }
  return area;
};

/** As pycocotools COCOeval.evaluateImg with area range all: the free object of the largest IoU; ignored ones only where no other fits, crowds as often as need be. */
export const matchCoco = (thresholds: readonly number[]): Match => (found, objects) => {
  const order = [...objects].sort((a, b) => Number(isIgnored(a)) - Number(isIgnored(b)));
  const overlaps = found.map((d) => order.map((o) => overlap(d.box, o.box, o.crowd)));
  const bits = found.map(() => ({ hit: 0, ignored: 0 }));
  thresholds.forEach((threshold, t) => {
    const taken = new Set<number>();
    overlaps.forEach((row, d) => {
      let best = -1;
      let high = Math.min(threshold, 1 - 1e-10);
      for (const [o, share] of row.entries()) {
        if (taken.has(o) && !order[o]!.crowd) continue; // rows have an entry per object
        if (best >= 0 && !isIgnored(order[best]!) && isIgnored(order[o]!)) break; // as above
        if (share < high) continue;
        high = share;
        best = o;
      }
      if (best < 0) return;
      taken.add(best);
      bits[d]![isIgnored(order[best]!) ? 'ignored' : 'hit'] |= 1 << t; // one per detection
    });
  });
  return bits;
};

/** As VOCdevkit VOCevaldet.m: the object of the largest IoU, and wrong where that is taken; difficult ones are ignored. */
export const matchVoc = (threshold: number): Match => (found, objects) => {
  const taken = new Set<number>();
  return found.map((d) => {
    let best = -1;
    let high = -Infinity;
    objects.forEach((o, i) => { const share = overlap(d.box, o.box); if (share > high) { high = share; best = i; } });
    if (best < 0 || high < threshold) return { hit: 0, ignored: 0 };
    if (isIgnored(objects[best]!)) return { hit: 0, ignored: 1 }; // found above
    if (taken.has(best)) return { hit: 0, ignored: 0 };
    taken.add(best);
    return { hit: 1, ignored: 0 };
  });
};
