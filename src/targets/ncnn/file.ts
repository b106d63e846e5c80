/**
 * Layers and weights of an ncnn model as its text and binary file. source:
 * docs/developer-guide/param-and-model-file-structure.md, src/paramdict.cpp, src/modelbin.cpp of
 * https://github.com/Tencent/ncnn; magic 7767517
 */
import { named } from '../../base/lists.js';
import { numberToFloat16 } from '../../ir/convert.js';
import type { Tensor } from '../../ir/tensor.js';
import type { Edge } from '../shared/layers.js';
import type { Precision } from '../types.js';

const MAGIC = 7767517;
/** What stands before weights of these types. */
const [FLOAT_TAG, HALF_TAG, INT8_TAG] = [0, 0x01306b47, 0x000d4b38];
/** Names are read into 256 bytes. */
const NAME_LENGTH = 200;

/** A list is written in the form that says how many. */
type Setting = string | readonly string[];
export const int = (n: number): string => String(n);
/** With an exponent, by which the parser knows it for a float; 15 characters at most, nine digits. */
export const float = (x: number): string => Math.fround(x).toExponential(8);
export type Settings = Readonly<Record<number, Setting>>;

interface Row {
  readonly type: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly settings: Settings;
}

/** Grows layer by layer. Blobs may have any number of readers while it grows. */
export class NcnnNet {
  readonly precision: Precision;
  readonly #rows: Row[] = [];
  readonly #pieces: Uint8Array[] = [];
  readonly #names = new Set<string>();
  readonly #blobs = new Map<Edge, string>();
  readonly #table: string[] = [];
  /** Names of outputs. */
  readonly #kept = new Set<string>();

  constructor(precision: Precision) {
    this.precision = precision;
  }

  /** The blob that holds the values of an edge. */
  blob(edge: Edge): string {
    return named(this.#blobs, edge);
  }
  /** Says that a blob holds the values of an edge. */
  holds(edge: Edge, blob: string): void {
    this.#blobs.set(edge, blob);
  }
  /** A free name for a blob or layer, without blanks. */
  free(name: string): string {
    const base = name.replace(/[^\w./:-]/gu, '_').slice(0, NAME_LENGTH) || 'blob';
    let made = base;
    for (let i = 1; this.#names.has(made); i++) made = `${base}_${i}`;
    this.#names.add(made);
    return made;
  }
  /** Adds a layer with one result, which gets a free name. */
  add(type: string, name: string, inputs: readonly string[], settings: Settings = {}): string {
    const output = this.free(name);
    this.row(type, name, inputs, [output], settings);
    return output;
  }
  /** Adds a layer with results of given names; gives its own. */
  row(type: string, name: string, inputs: readonly string[], outputs: readonly string[], settings: Settings): string {
    const own = this.free(name);
    this.#rows.push({ type, name: own, inputs, outputs, settings });
    return own;
  }

  /** Gives a blob another name, or a copy of that name where layers read it. */
  rename(blob: string, name: string): void {
    const at = this.#rows.findIndex((r) => r.outputs.includes(blob));
    const row = this.#rows[at];
    if (!row || row.type === 'Input' || this.#rows.some((r) => r.inputs.includes(blob)) || this.#kept.has(blob)) {
      this.row('Noop', name, [blob], [name], {});
      return;
    }
    this.#rows[at] = { ...row, outputs: row.outputs.map((b) => (b === blob ? name : b)) };
    this.#kept.add(name);
  }

  /** Weights with a tag before them, in the precision of the file. */
  weights(values: Float32Array): void {
    if (this.precision === 'float32') {
      this.#u32(FLOAT_TAG);
      this.floats(values);
      return;
    }
    const halves = new Uint16Array(values.length + (values.length % 2));
    for (let i = 0; i < values.length; i++) halves[i] = numberToFloat16(values[i]!);
    this.#u32(HALF_TAG);
    this.#pieces.push(bytesOf(halves));
  }
  /** Plain float32 values. */
  floats(values: Float32Array): void {
    this.#pieces.push(bytesOf(values));
  }
  /** Codes of weights, filled up to 4 bytes. */
  codes(codes: Int8Array): void {
    const filled = new Int8Array(Math.ceil(codes.length / 4) * 4);
    filled.set(codes);
    this.#u32(INT8_TAG);
    this.#pieces.push(bytesOf(filled));
  }
  #u32(value: number): void {
    this.#pieces.push(bytesOf(Uint32Array.of(value)));
  }
  /** Notes the factors to codes of a layer in the form of ncnn's quantizer: weights by channel, then its input. */
  note(layer: string, weights: Float32Array, input: number): void {
    const text = (x: number): string => String(Math.fround(x));
    this.#table.push([`${layer}_param_0`, ...[...weights].map(text)].join(' '), `${layer} ${text(input)}`);
  }
  /** Lines with weights come first. */
  get table(): string {
    const isWeight = (line: string): boolean => line.split(' ', 1)[0]?.includes('_param_') === true;
    const lines = [...this.#table.filter(isWeight), ...this.#table.filter((l) => !isWeight(l))];
    return lines.map((l) => `${l}\n`).join('');
  }

  get bin(): Uint8Array {
    return Buffer.concat(this.#pieces);
  }
  /** A blob has one reader in the file, so Split layers stand where there are more. */
  get param(): string {
    const readers = new Map<string, number>();
    for (const { inputs } of this.#rows) for (const b of inputs) readers.set(b, (readers.get(b) ?? 0) + 1);
    const taken = new Map<string, number>();
    const part = (blob: string, i: number): string => `${blob}_split_${i}`;
    const source = (blob: string): string => {
      if ((readers.get(blob) ?? 0) < 2) return blob;
      const i = taken.get(blob) ?? 0;
      taken.set(blob, i + 1);
      return part(blob, i);
    };
    const lines: string[] = [];
    let blobs = 0;
    const write = (
      type: string,
      name: string,
      inputs: readonly string[],
      outputs: readonly string[],
      more: string,
    ): void => {
      blobs += outputs.length;
      const head = `${type.padEnd(24)} ${name.padEnd(24)} ${inputs.length} ${outputs.length}`;
      lines.push([head, ...inputs, ...outputs, ...(more ? [more] : [])].join(' '));
    };
    for (const { type, name, inputs, outputs, settings } of this.#rows) {
      write(type, name, inputs.map(source), outputs, textOf(settings));
      for (const b of outputs) {
        const n = readers.get(b) ?? 0;
        if (n > 1)
          write(
            'Split',
            this.free(`split_${b}`),
            [b],
            Array.from({ length: n }, (_, i) => part(b, i)),
            '',
          );
      }
    }
    return `${MAGIC}\n${lines.length} ${blobs}\n${lines.join('\n')}\n`;
  }
}

/** `0=8 -23310=2,0.00000000e+0,6.00000000e+0`: lists have ids from −23300 down. */
const textOf = (settings: Settings): string =>
  Object.entries(settings)
    .map(([id, s]) => (typeof s === 'string' ? `${id}=${s}` : `${-23300 - Number(id)}=${[s.length, ...s].join(',')}`))
    .join(' ');

const bytesOf = (a: ArrayBufferView): Uint8Array => new Uint8Array(a.buffer, a.byteOffset, a.byteLength);

/** Codes of an int8 tensor. */
export const int8 = (t: Tensor): Int8Array => Int8Array.from(t.f64());
