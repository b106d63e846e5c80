import type { TransportFacts } from './transport.js';

/** What files are sent with. */
export const CODECS = ['brotli', 'gzip', 'zstd'] as const;
export type Codec = (typeof CODECS)[number];

/** What a codec makes of a file; undefined where it was not measured. */
export function sentBytes(sizes: TransportFacts['float'] | undefined, codec: string): number | undefined {
  const known = CODECS.find((c) => c === codec);
  return known && sizes?.[known];
}
