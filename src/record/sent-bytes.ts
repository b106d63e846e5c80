import type { TransportFacts } from './transport.js';

/** What a codec makes of a file; undefined where it was not measured. */
export function sentBytes(sizes: TransportFacts['float'] | undefined, codec: string): number | undefined {
  return codec === 'brotli' || codec === 'gzip' || codec === 'zstd' ? sizes?.[codec] : undefined;
}
