/** The same few samples again and again: kept in memory where they fit, else read anew for every pass. */
import { fail } from '../base/errors.js';
import { keepSamples } from '../calibrate/rows.js';
import type { Batch } from '../data/batch.js';
import { feedBytes } from '../ir/feed.js';

/** A fresh pass over batches. */
export type Batches = () => AsyncIterable<Batch>;

/** What kept batches may take. Sixty-four images of 224 × 224 take 39 MB. */
const KEPT_BYTES = 256 * 2 ** 20;

/**
 * The first `limit` samples of a source, as often as they are asked for. The first pass keeps its batches for later
 * ones as long as they take at most `keptBytes`. A pass throws DATA_MISSING where there is no sample, and the signal's
 * reason.
 */
export function repeatable(
  source: Batches,
  limit: number,
  options: { readonly shrink: boolean; readonly signal?: AbortSignal | undefined; readonly keptBytes?: number },
): Batches {
  let kept: Batch[] | undefined;
  return async function* () {
    if (kept) {
      for (const b of kept) {
        options.signal?.throwIfAborted();
        yield b;
      }
      return;
    }
    const own: Batch[] = [];
    let bytes = 0;
    let samples = 0;
    for await (const batch of source()) {
      options.signal?.throwIfAborted();
      if (!batch.samples.length) continue;
      const rest = limit - samples;
      const cut =
        batch.samples.length > rest
          ? keepSamples(
              batch,
              Array.from({ length: rest }, (_, i) => i),
              options.shrink,
            )
          : batch;
      samples += cut.samples.length;
      bytes += bytesOf(cut);
      if (bytes <= (options.keptBytes ?? KEPT_BYTES)) own.push(cut);
      else own.length = 0;
      yield cut;
      if (samples >= limit) break;
    }
    options.signal?.throwIfAborted();
    if (!samples)
      fail('DATA_MISSING', 'the analysis saw no sample', {}, 'check the data of the recipe and their split');
    if (bytes <= (options.keptBytes ?? KEPT_BYTES)) kept = own;
  };
}

const bytesOf = (b: Batch): number => b.feeds.reduce((n, feed) => n + feedBytes(feed), 0);
