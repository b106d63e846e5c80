/** How fast written models are, beside the float model. */
import { item } from '../base/lists.js';
import { statSync } from 'node:fs';
import { packs } from '../base/group.js';
import { measureLatencies } from '../evaluate/latency.js';
import type { Feed } from '../ir/feed.js';
import type { LatencyFacts } from '../record/index.js';
import { measureOwnProcesses } from '../runtime/own-process.js';
import type { CheckInput } from './check.js';
import { OPEN_BYTES } from './passes-over.js';
import { atBatch } from './feeds.js';
import { slowness } from './slowness.js';
import type { WrittenVariant } from './variant/types.js';

/**
 * Interleaved latency of the float model and all variants on one sample's inputs, and what each costs in a process of
 * its own; by index of the variant.
 */
export async function timeAll(
  o: CheckInput,
  variants: readonly WrittenVariant[],
  feed: Feed,
): Promise<ReadonlyMap<number, LatencyFacts>> {
  const found = new Map<number, LatencyFacts>();
  const l = o.recipe.recipe.evaluation.latency;
  if (l === false) return found;
  const sized = atBatch(feed, o.inputs, l.batch);
  for (const together of packs(variants, (v) => statSync(v.folder.model).size, OPEN_BYTES)) {
    const timed = await measureLatencies(
      o.floatFile,
      together.map((v) => v.folder.model),
      { feed: sized, runs: l.runs, warmup: l.warmup, threads: l.threads, onEvent: o.onEvent, signal: o.signal },
    );
    for (const [i, v] of together.entries()) {
      const latency = item(timed, i); // one for each
      found.set(v.index, latency);
      const slow = slowness(latency, v.recipe.recipe.quantize);
      if (slow) v.report(slow);
    }
  }
  if (!l.memory) return found;
  const files = variants.map((v) => v.folder.model);
  const own = { feed: sized, threads: l.threads, signal: o.signal };
  const [float, ...measured] = await measureOwnProcesses([o.floatFile, ...files], own);
  for (const [i, v] of variants.entries()) {
    const [latency, quantized] = [found.get(v.index), measured[i]];
    if (latency && float && quantized) found.set(v.index, { ...latency, process: { float, quantized } });
  }
  return found;
}
