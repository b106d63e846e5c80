/** What files weigh on their way, in words and tables. */
import { sentBytes } from '../record/sent-bytes.js';
import type { TransportFacts } from '../record/index.js';
import { table, text } from './markdown/parts.js';
import { bytes, count, fixed, percent } from './text.js';

/** A row for each file, with what every codec makes of it. */
export function transportRows(t: TransportFacts): { readonly head: string[]; readonly rows: string[][] } {
  const states = [
    ['float', t.float],
    ...(t.plain ? [['quantized, as rounded', t.plain] as const] : []),
    ['quantized', t.quantized],
  ] as const;
  const codecs = ['brotli', 'gzip', ...(t.quantized.zstd === undefined ? [] : ['zstd'])];
  return {
    head: ['file', 'raw', ...codecs],
    rows: states.map(([name, s]) => [name, bytes(s.raw), ...codecs.map((c) => bytes(sentBytes(s, c)))]),
  };
}

/** Such as `20 weights took values that brotli makes 33.9 % less of, at an error of 30.0 dB.` */
export function transportSentence({ codec, plain, quantized, weights, error }: TransportFacts): string {
  const [before, after] = [sentBytes(plain, codec), sentBytes(quantized, codec)];
  if (!before || !after) return '';
  const less = percent(1 - after / before, 1);
  return (
    `${count(weights)} weights took other values, of which ${codec} makes ${less} less; what that adds to the error of ` +
    `their layers is ${fixed(-10 * Math.log10(error), 1)} dB below their outputs.`
  );
}

export function transportText(t: TransportFacts): string {
  const { head, rows } = transportRows(t);
  return [
    table(
      head.map(text),
      rows.map((r) => r.map(text)),
    ),
    transportSentence(t),
  ]
    .filter(Boolean)
    .join('\n\n');
}
