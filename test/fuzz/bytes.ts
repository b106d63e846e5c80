/** Mutations that know nothing of the format. */
import type { Rng } from '../../src/base/rng.js';

export const pick = <T>(rng: Rng, list: readonly T[]): T => list[rng.int(list.length)]!; // lists here are never empty
/** Numbers at which sizes, lengths and codes break. */
export const EDGES: readonly number[] = [
  0,
  1,
  2,
  3,
  7,
  8,
  63,
  64,
  65,
  127,
  128,
  255,
  256,
  4095,
  4096,
  65535,
  65536,
  2 ** 24,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 40,
  2 ** 53 - 1,
  2 ** 53,
  -1,
  -2,
  -3,
  -128,
  -(2 ** 31),
  -(2 ** 53),
];

/** Some bytes changed, dropped, doubled or taken from another place. */
export function mutateBytes(bytes: Uint8Array, rng: Rng, most = 4): Uint8Array {
  let out = Uint8Array.from(bytes);
  for (let k = rng.int(most) + 1; k > 0 && out.length; k--) {
    const at = rng.int(out.length);
    const length = 1 + rng.int(Math.min(16, out.length - at));
    switch (rng.int(7)) {
      case 0:
        out[at]! ^= 1 << rng.int(8);
        break;
      case 1:
        out[at] = rng.int(256);
        break;
      case 2:
        out[at] = pick(rng, [0, 1, 127, 128, 255]);
        break;
      case 3:
        out = out.slice(0, at);
        break;
      case 4:
        out = joined(out.subarray(0, at), out.subarray(at + length));
        break;
      case 5:
        out = joined(out.subarray(0, at), out.subarray(at, at + length), out.subarray(at));
        break;
      default:
        out.copyWithin(rng.int(out.length), at, at + length);
    }
  }
  return out;
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

/** Lines and words of a text changed, dropped, doubled, moved; `words` are put in here and there. */
export function mutateText(text: string, rng: Rng, words: readonly string[]): string {
  let out = text;
  for (let k = rng.int(4) + 1; k > 0; k--) {
    const lines = out.split('\n');
    const at = rng.int(lines.length);
    const line = lines[at]!; // an index of the list
    const column = rng.int(line.length + 1);
    switch (rng.int(9)) {
      case 0:
        lines.splice(at, 1);
        break;
      case 1:
        lines.splice(at, 0, pick(rng, lines));
        break;
      case 2:
        lines[at] = line.slice(0, column) + pick(rng, words) + line.slice(column);
        break;
      case 3:
        lines[at] = line.replace(/[^\s:]+$/, () => pick(rng, words));
        break;
      case 4:
        lines[at] = `${' '.repeat(rng.int(8))}${line.trimStart()}`;
        break;
      case 5:
        lines[at] = line.replace(/-?\d+(\.\d+)?/, () => String(pick(rng, EDGES)));
        break;
      case 6:
        lines[at] = line.slice(0, column);
        break;
      case 7:
        lines.splice(at, 0, ...Array<string>(10 ** rng.int(4)).fill(line));
        break;
      default:
        lines[at] = line.slice(0, column) + pick(rng, words).repeat(10 ** rng.int(4)) + line.slice(column);
    }
    out = lines.join('\n');
    if (out.length > 300_000) break;
  }
  return out;
}
