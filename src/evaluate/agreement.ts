import type { Feed, Sample, ValueInfo } from '../ir/feed.js';
import { mcnemarExact } from './statistics.js';
import { argmax, numbersOf } from './tensors.js';

/** `same` is a share, 0…1; flips and McNemar's p only where samples have class labels. */
export interface Agreement { readonly same: number; readonly rightToWrong?: number; readonly wrongToRight?: number; readonly mcnemarP?: number }

/** The first output that looks like class scores: [batch, classes] of two or more classes, further axes of size 1 aside. */
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
  constructor(output: string) { this.#output = output; }

  /** Rows of fewer than two scores are passed over. A row with NaN has no top class: it agrees with nothing and is wrong. */
  add(sample: Sample, float: Feed, quantized: Feed): void {
    const f = rowOf(float, this.#output);
    const q = rowOf(quantized, this.#output);
    if (!f || !q || f.length < 2 || f.length !== q.length) return;
    const a = argmax(f);
    const b = argmax(q);
    this.#samples++;
    if (a === b && a >= 0) this.#same++;
    const { label } = sample;
    if (label === undefined || !Number.isInteger(label) || label < 0 || label >= f.length) return;
    this.#labelled++;
    if (a === label && b !== label) this.#rightToWrong++;
    if (a !== label && b === label) this.#wrongToRight++;
  }

  facts(): Agreement | undefined {
    if (!this.#samples) return undefined;
    const same = this.#same / this.#samples;
    if (!this.#labelled) return { same };
    return { same, rightToWrong: this.#rightToWrong, wrongToRight: this.#wrongToRight, mcnemarP: mcnemarExact(this.#rightToWrong, this.#wrongToRight) };
  }
}

function rowOf(outputs: Feed, name: string): ArrayLike<number> | undefined {
  const t = outputs[name];
  if (!t || t.dims[0] !== 1) return undefined;
  return numbersOf(t);
}
