/**
 * Average precision over images that may be resampled: detections are matched once per image, and weighed by how often
 * it is drawn.
 */
import { item } from '../base/lists.js';
import type { TargetBox } from '../ir/feed.js';
import { multiplicities } from './accumulators.js';
import { overlap, type Detection } from './detections.js';

/**
 * One detection against the objects of its image: bit t of `hit` (`ignored`) is set where it is right (does not count)
 * at IoU threshold t.
 */
interface Judged {
  readonly score: number;
  readonly image: number;
  readonly hit: number;
  readonly ignored: number;
}
interface OfClass {
  readonly judged: Judged[];
  readonly objects: Map<number, number>;
}

/**
 * Bits of one detection after another, for the detections (highest score first) and objects of one class in one image.
 */
export type Match = (
  found: readonly Detection[],
  objects: readonly TargetBox[],
) => readonly { readonly hit: number; readonly ignored: number }[];
/** Average precision from recall (rising) and precision made falling, `length` of each. */
export type Interpolate = (recall: Float64Array, precision: Float64Array, length: number) => number;

/** Detections of one class, highest score first, in a form that is walked a thousand times. */
interface Ranked {
  readonly image: Uint32Array;
  /** Bit t: right at threshold t; bit 16 + t: ignored there. Most are 0: wrong at all. */
  readonly bits: Uint32Array;
  /** How many are right at any threshold. */
  readonly right: number;
  readonly objectImages: Uint32Array;
  readonly objectCounts: Uint32Array;
}

export class PrecisionMeter {
  readonly #match: Match;
  readonly #thresholds: number;
  readonly #interpolate: Interpolate;
  readonly #classes = new Map<number, OfClass>();
  /** Detections of no class: wrong in each class. */
  readonly #stray: Judged[] = [];
  #images = 0;
  #ranked: readonly Ranked[] | undefined;
  /** At most 16 thresholds. */
  constructor(match: Match, thresholds: number, interpolate: Interpolate) {
    this.#match = match;
    this.#thresholds = thresholds;
    this.#interpolate = interpolate;
  }

  get images(): number {
    return this.#images;
  }

  /** `found` is by falling score. */
  add(found: readonly Detection[], objects: readonly TargetBox[]): void {
    const image = this.#images++;
    this.#ranked = undefined;
    for (const label of new Set([...found, ...objects].map((x) => x.label))) {
      const own = found.filter((d) => d.label === label);
      if (label < 0) {
        this.#stray.push(...own.map(({ score }) => ({ score, image, hit: 0, ignored: 0 })));
        continue;
      }
      const theirs = objects.filter((o) => o.label === label);
      const ofClass = this.#classes.get(label) ?? { judged: [], objects: new Map<number, number>() };
      this.#classes.set(label, ofClass);
      const counted = theirs.filter((o) => !isIgnored(o)).length;
      if (counted) ofClass.objects.set(image, counted);
      // one per detection
      this.#match(own, theirs).forEach((bits, i) => ofClass.judged.push({ score: item(own, i).score, image, ...bits }));
    }
  }

  /** Mean over classes that have objects, and over thresholds, in %; undefined where no class has any. */
  value(images: Uint32Array): number | undefined {
    const weights = multiplicities(images, this.#images);
    this.#ranked ??= [...this.#classes.values()].filter((c) => c.objects.size).map((c) => rank(c, this.#stray));
    let sum = 0;
    let classes = 0;
    for (const ranked of this.#ranked) {
      let total = 0;
      for (let i = 0; i < ranked.objectImages.length; i++)
        total += ranked.objectCounts[i]! * weights[ranked.objectImages[i]!]!; // as many counts as images
      if (!total) continue;
      classes++;
      for (const { recall, precision, length } of curves(ranked, weights, this.#thresholds, total))
        sum += this.#interpolate(recall, precision, length);
    }
    return classes ? (100 * sum) / (classes * this.#thresholds) : undefined;
  }
}

const isIgnored = (o: TargetBox): boolean => (o.crowd ?? false) || (o.difficult ?? false);

function rank({ judged, objects }: OfClass, stray: readonly Judged[]): Ranked {
  const sorted = [...judged, ...stray].sort((a, b) => (a.score === b.score ? a.image - b.image : b.score - a.score));
  return {
    image: Uint32Array.from(sorted, (d) => d.image),
    bits: Uint32Array.from(sorted, (d) => d.hit | (d.ignored << 16)),
    right: sorted.filter((d) => d.hit).length,
    objectImages: Uint32Array.from(objects.keys()),
    objectCounts: Uint32Array.from(objects.values()),
  };
}

interface Curve {
  readonly recall: Float64Array;
  readonly precision: Float64Array;
  length: number;
  hits: number;
  ignored: number;
}

/**
 * Recall and precision at each threshold, precision made falling from the end. Points where nothing more is found lie
 * under that envelope, so that only hits have one; so do those between the w equal hits of an image that was drawn w
 * times.
 */
function curves({ image, bits, right }: Ranked, weights: Uint32Array, thresholds: number, total: number): Curve[] {
  const all = Array.from({ length: thresholds }, (): Curve => ({
    recall: new Float64Array(right),
    precision: new Float64Array(right),
    length: 0,
    hits: 0,
    ignored: 0,
  }));
  let seen = 0;
  for (let i = 0; i < image.length; i++) {
    const w = weights[image[i]!]!; // an image of the meter
    seen += w;
    const own = bits[i]!; // as many as images
    if (!own || !w) continue;
    for (let t = 0; t < thresholds; t++) {
      const c = item(all, t); // one per threshold
      if (own & (1 << (16 + t))) c.ignored += w;
      if (!(own & (1 << t))) continue;
      c.hits += w;
      c.recall[c.length] = c.hits / total;
      c.precision[c.length++] = c.hits / (seen - c.ignored);
    }
  }
  for (const { precision, length } of all)
    for (let i = length - 2; i >= 0; i--) precision[i] = Math.max(precision[i]!, precision[i + 1]!); // within length
  return all;
}

/** Mean precision at recalls 0, 1/(points − 1), …, 1; 0 beyond the highest recall. COCO uses 101 points, VOC2007 11. */
export const atPoints =
  (points: number): Interpolate =>
  (recall, precision, length) => {
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
  for (let i = 0, before = 0; i < length; i++) {
    area += (recall[i]! - before) * precision[i]!;
    before = recall[i]!;
  }
  return area;
};

/**
 * As pycocotools COCOeval.evaluateImg with area range all: the free object of the largest IoU; ignored ones only where
 * no other fits, crowds as often as need be.
 */
export const matchCoco =
  (thresholds: readonly number[]): Match =>
  (found, objects) => {
    const order = [...objects].sort((a, b) => Number(isIgnored(a)) - Number(isIgnored(b)));
    const overlaps = found.map((d) => order.map((o) => overlap(d.box, o.box, o.crowd)));
    const bits = found.map(() => ({ hit: 0, ignored: 0 }));
    thresholds.forEach((threshold, t) => {
      const taken = new Set<number>();
      overlaps.forEach((row, d) => {
        let best = -1;
        let high = Math.min(threshold, 1 - 1e-10);
        for (const [o, share] of row.entries()) {
          if (taken.has(o) && !item(order, o).crowd) continue; // rows have an entry per object
          if (best >= 0 && !isIgnored(item(order, best)) && isIgnored(item(order, o))) break;
          if (share < high) continue;
          high = share;
          best = o;
        }
        if (best < 0) return;
        taken.add(best);
        item(bits, d)[isIgnored(item(order, best)) ? 'ignored' : 'hit'] |= 1 << t; // one per detection
      });
    });
    return bits;
  };

/**
 * As VOCdevkit VOCevaldet.m: the object of the largest IoU, and wrong where that is taken; difficult ones are ignored.
 */
export const matchVoc =
  (threshold: number): Match =>
  (found, objects) => {
    const taken = new Set<number>();
    return found.map((d) => {
      let best = -1;
      let high = -Infinity;
      objects.forEach((o, i) => {
        const share = overlap(d.box, o.box);
        if (share > high) {
          high = share;
          best = i;
        }
      });
      if (best < 0 || high < threshold) return { hit: 0, ignored: 0 };
      if (isIgnored(item(objects, best))) return { hit: 0, ignored: 1 }; // found above
      if (taken.has(best)) return { hit: 0, ignored: 0 };
      taken.add(best);
      return { hit: 1, ignored: 0 };
    });
  };
