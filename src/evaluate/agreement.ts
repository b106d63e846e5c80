import { thumbnail } from '../data/thumbnail.js';
import type { Feed, Sample, ValueInfo } from '../ir/feed.js';
import type { Agreement, Flip } from '../record/index.js';
import { mcnemarExact } from './statistics.js';
import { divergence, logProbabilities } from './probabilities.js';
import { argmax, numbersOf } from './tensors.js';

/** Flips that are kept by name, of each direction: enough to look at. */
const KEPT_FLIPS = 12;

/**
 * The first output that looks like class scores: [batch, classes] of two or more classes, further axes of size 1 aside.
 */
export function classOutput(outputs: readonly ValueInfo[]): ValueInfo | undefined {
  return outputs.find(({ dtype, shape }) => {
    if (!shape || shape.length < 2 || (dtype !== 'float32' && dtype !== 'float16' && dtype !== 'float64')) return false;
    const [, classes, ...rest] = shape;
    return classes !== 1 && rest.every((d) => d === 1);
  });
}

/** Counts how often both models put the same class on top, and which way answers flipped. */
export class AgreementMeter {
  readonly #output: string;
  #samples = 0;
  #same = 0;
  #labelled = 0;
  #rightToWrong = 0;
  #wrongToRight = 0;
  #divergence = 0;
  readonly #flips: { readonly flip: Flip; readonly feed: Feed | undefined }[] = [];
  constructor(output: string) {
    this.#output = output;
  }

  /**
   * Rows of fewer than two scores are passed over. A row with NaN has no top class: it agrees with nothing and is
   * wrong.
   */
  add(sample: Sample, float: Feed, quantized: Feed): void {
    const f = rowOf(float, this.#output);
    const q = rowOf(quantized, this.#output);
    if (!f || !q || f.length < 2 || f.length !== q.length) return;
    const a = argmax(f);
    const b = argmax(q);
    this.#samples++;
    if (a === b && a >= 0) this.#same++;
    this.#divergence += klDivergence(f, q);
    const { label } = sample;
    if (label === undefined || !Number.isInteger(label) || label < 0 || label >= f.length) return;
    this.#labelled++;
    const flip = { flip: { sample: sample.id, label, float: a, quantized: b }, feed: sample.feeds[0] };
    if (a === label && b !== label && ++this.#rightToWrong <= KEPT_FLIPS) this.#flips.push(flip);
    if (a !== label && b === label && ++this.#wrongToRight <= KEPT_FLIPS) this.#flips.push(flip);
  }

  async facts(): Promise<Agreement | undefined> {
    if (!this.#samples) return undefined;
    const found = {
      same: this.#same / this.#samples,
      ...(Number.isFinite(this.#divergence) ? { kl: this.#divergence / this.#samples } : {}),
    };
    if (!this.#labelled) return found;
    return {
      ...found,
      rightToWrong: this.#rightToWrong,
      wrongToRight: this.#wrongToRight,
      mcnemarP: mcnemarExact(this.#rightToWrong, this.#wrongToRight),
      ...(this.#flips.length ? { flips: await this.#pictured() } : {}),
    };
  }

  async #pictured(): Promise<Flip[]> {
    const flips: Flip[] = [];
    for (const { flip, feed } of this.#flips) {
      const picture = feed && (await thumbnail(feed));
      flips.push(picture === undefined ? flip : { ...flip, thumbnail: picture });
    }
    return flips;
  }
}

function rowOf(outputs: Feed, name: string): ArrayLike<number> | undefined {
  const t = outputs[name];
  if (!t || t.dims[0] !== 1) return undefined;
  return numbersOf(t);
}

/**
 * Kullback–Leibler divergence of two rows of class scores, float ‖ quantized, in nats. Rows that are shares already
 * (none negative, sum 1) are taken as they are, others through softmax. NaN where a row has NaN or an infinity.
 */
export function klDivergence(float: ArrayLike<number>, quantized: ArrayLike<number>): number {
  const p = new Float64Array(float.length);
  const q = new Float64Array(quantized.length);
  // rounding may pass 0
  return logProbabilities(float, 0, p) && logProbabilities(quantized, 0, q) ? Math.max(0, divergence(p, q)) : NaN;
}
