/**
 * Layers that have codes, in files, and what the next layers are given: a run that was killed goes on from there to the
 * same bytes, and codes that are in a file need no memory.
 */
import fs from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { fail, type Diagnostic } from '../base/errors.js';
import { readAll, reason, sha256File } from '../base/files.js';
import { item } from '../base/lists.js';
import { readSealed, writeSealed } from '../base/sealed.js';
import type { LayerShape } from '../channels/layer.js';
import { keptTensor } from '../data/kept-tensors.js';
import { byteLength } from '../ir/dtype.js';
import { elementCount, Tensor, type ByteSource } from '../ir/tensor.js';
import type { QuantParams } from '../scheme/types.js';
import { GIVEN, type Reached } from './frontier.js';
import { keptIndex } from './kept-feeds.js';
import type { JournalPlace } from './types.js';

const MAGIC = 'QBCODES1';
const count = z.number().int().min(0);
const header = z.strictObject({
  step: count,
  layers: z.array(
    z.strictObject({ weight: z.string(), codes: keptTensor, scales: count, bias: keptTensor.nullable() }),
  ),
  frontier: keptIndex.nullable(),
  names: z.array(z.string()),
});
type Header = z.output<typeof header>;

export interface KeptLayer {
  readonly codes: Tensor;
  readonly params: QuantParams;
  readonly bias: Tensor | undefined;
}

/** One for each key: a hash of all that the codes depend on. */
export class Journal {
  readonly folder: string;
  readonly #steps: { readonly header: Header; readonly file: string; readonly offset: number }[] = [];

  /**
   * Reads what is there of this key, of `total` steps. `report` is told of files that are damaged: work goes on before
   * them.
   */
  constructor({ folder, key }: JournalPlace, total: number, report: (d: Diagnostic) => void) {
    this.folder = path.join(folder, `${key.slice(0, 32)}.qbcodes`);
    while (this.#steps.length < total) {
      const file = this.#file(this.#steps.length);
      try {
        const sealed = readSealed(file, MAGIC);
        if (!sealed) break;
        const made = header.parse(sealed.header);
        if (made.step !== this.#steps.length) throw new Error('it is of another step');
        this.#steps.push({ header: made, file, offset: sealed.offset });
      } catch (error) {
        report(damaged(error instanceof Error ? error.message : String(error), file));
        break;
      }
    }
    if (this.#steps.length < total && !this.#isWhole()) {
      report(damaged('what its layers are given is lost', this.folder));
      this.#steps.length = 0;
    }
  }

  #file(step: number): string {
    return path.join(this.folder, `step-${String(step).padStart(4, '0')}`);
  }
  /** Whether what the last step started from is as it was. */
  #isWhole(): boolean {
    const { index } = this.reached ?? {};
    return !index || (fs.existsSync(index.file) && sha256File(index.file) === index.sha256);
  }

  /** Steps that are done. */
  get length(): number {
    return this.#steps.length;
  }
  /** What was reached when the last of them was done. */
  get reached(): Reached | undefined {
    const last = this.#steps.at(-1)?.header;
    return last && { index: last.frontier ?? undefined, names: last.names };
  }

  /** The layers of a step that is done, in its order. Throws where they are not those of the step. */
  layers(step: number, shapes: readonly LayerShape[], startOf: (shape: LayerShape) => QuantParams): KeptLayer[] {
    const { header: made, file, offset } = item(this.#steps, step);
    let at = offset;
    const take = (t: z.output<typeof keptTensor>): Tensor => {
      const bytes = byteLength(t.dtype, elementCount(t.dims));
      at += bytes;
      return new Tensor(t.dtype, t.dims, sourceIn(file, at - bytes, bytes));
    };
    return shapes.map((shape, i) => {
      const kept = item(made.layers, i);
      const codes = take(kept.codes);
      const scale = take({ dtype: 'float32', dims: [kept.scales] }).f32();
      const zeroPoint = Int32Array.from(take({ dtype: 'int32', dims: [kept.scales] }).numbers());
      const bias = kept.bias ? take(kept.bias) : undefined;
      const { codes: _codes, ...rest } = startOf(shape);
      return { codes, params: { ...rest, scale, zeroPoint }, bias };
    });
  }

  /** Whole or not at all. What the step before started from is not needed any more. Throws OUTPUT_WRITE. */
  keep(step: number, made: readonly { readonly weight: string; readonly kept: KeptLayer }[], reached: Reached): void {
    const file = this.#file(step);
    const facts: Header = {
      step,
      layers: made.map(({ weight, kept: { codes, params, bias } }) => ({
        weight,
        codes: { dtype: codes.dtype, dims: [...codes.dims] },
        scales: params.scale.length,
        bias: bias ? { dtype: bias.dtype, dims: [...bias.dims] } : null,
      })),
      frontier: reached.index ?? null,
      names: [...reached.names],
    };
    const parts = made.flatMap(({ kept: { codes, params, bias } }) => [
      codes.bytes(),
      Tensor.f32(params.scale).bytes(),
      Tensor.i32(params.zeroPoint).bytes(),
      ...(bias ? [bias.bytes()] : []),
    ]);
    const offset = writeSealed(file, MAGIC, facts, parts);
    this.#steps[step] = { header: facts, file, offset };
  }

  /** All is done: what layers are given is not needed any more, nor what killed runs have left of it. */
  finish(): void {
    if (!fs.existsSync(this.folder)) return;
    for (const f of fs.readdirSync(this.folder))
      if (f.startsWith(GIVEN)) fs.rmSync(path.join(this.folder, f), { force: true });
  }
}

const damaged = (why: string, file: string): Diagnostic => ({
  severity: 'warning',
  code: 'WEIGHTS_CHECKPOINT',
  message: `codes that another run chose are not used: ${why}`,
  where: { file },
  hint: 'they are chosen again and replaced',
});

/** Bytes of a file that is written once. Throws OUTPUT_WRITE where it is gone. */
function sourceIn(file: string, from: number, length: number): ByteSource {
  const range = (offset: number, size: number, n = 1, stride = size, into = new Uint8Array(size * n)): Uint8Array => {
    try {
      const fd = fs.openSync(file, 'r');
      try {
        for (let i = 0; i < n; i++) {
          const run = into.subarray(i * size, (i + 1) * size);
          if (readAll(fd, run, from + offset + i * stride) < size) throw new Error('it is shorter than it was');
        }
      } finally {
        fs.closeSync(fd);
      }
    } catch (error) {
      fail(
        'OUTPUT_WRITE',
        `'${file}', which keeps codes, cannot be read: ${reason(error)}`,
        { file },
        undefined,
        error,
      );
    }
    return into;
  };
  return { byteLength: length, range, read: () => range(0, length) };
}
