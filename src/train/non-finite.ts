/** Where NaN and infinity come from. */
import { float16ToNumber } from '../ir/convert.js';
import { cloneModel } from '../ir/clone.js';
import { isFloat } from '../ir/dtype.js';
import type { Feed, FeedTensor } from '../ir/feed.js';
import type { Model } from '../ir/model.js';
import { openModel } from '../runtime/open.js';

/** Results that are looked at in one run: all at once would hold the whole step in memory twice. */
const AT_ONCE = 64;

/**
 * The first result of a model, in the order in which they are computed, that holds NaN or infinity on this feed; only
 * the passing of what is already not finite comes after it. Undefined where a run without optimizations gives none.
 */
export async function firstNonFinite(given: Model, feed: Feed): Promise<string | undefined> {
  const { model } = cloneModel(given);
  const { graph } = model;
  const results = graph.topological().flatMap((n) => n.outputs.filter((v) => v.name && v.dtype && isFloat(v.dtype)));
  for (const v of results) if (!v.isGraphOutput) graph.addOutput(v);
  const session = await openModel(model, {
    optimization: 'disabled',
    memoryPattern: false,
    label: 'the step looked at',
  });
  try {
    for (let at = 0; at < results.length; at += AT_ONCE) {
      const names = results.slice(at, at + AT_ONCE).map((v) => v.name);
      const found = await session.run(feed, names);
      const bad = names.find((name) => found[name] && !finite(found[name]));
      if (bad !== undefined) return bad;
    }
    return undefined;
  } finally {
    await session.close();
  }
}

/** Whether no element is NaN or infinite. */
export function finite({ dtype, data }: FeedTensor): boolean {
  if (!isFloat(dtype)) return true;
  if (dtype === 'float16') {
    for (let i = 0; i < data.length; i++) if (!Number.isFinite(float16ToNumber(Number(data[i])))) return false;
    return true;
  }
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += Number(data[i]) * 0; // NaN where one is NaN or infinite
  return sum === 0;
}
