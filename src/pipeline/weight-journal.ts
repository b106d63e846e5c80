/** Where the codes of layers that are done are written down, and what they depend on. */
import { createHash } from 'node:crypto';
import { version } from '../base/version.js';
import type { JournalPlace } from '../codes/types.js';
import type { Feed } from '../ir/feed.js';
import { pluginKey } from '../recipe/plugins.js';
import type { Recipe } from '../recipe/schema.js';
import { environment } from '../runtime/environment.js';
import { toTensor } from '../runtime/open.js';
import { cacheFolder } from '../recipe/cache-folder.js';
import { isStreamed } from './large.js';
import type { AssignedVariant } from './variant/types.js';

/** Changes whenever the same recipe chooses other codes. */
const FORMAT = 1;

/** Undefined where a recipe does not ask for it, and weights are few. */
export async function journalOf(
  { model, recipe: { recipe, baseDir, plugins } }: AssignedVariant,
  contentSha256: () => string,
  feeds: () => AsyncIterable<Feed>,
): Promise<JournalPlace | undefined> {
  const { checkpoint = isStreamed(model, recipe) } = recipe.quantize.weights;
  const folder = cacheFolder(checkpoint, baseDir);
  if (folder === undefined) return undefined;
  const key = createHash('sha256').update(
    JSON.stringify([FORMAT, version, environment().onnxruntime, contentSha256(), partOf(recipe), pluginKey(plugins)]),
  );
  for await (const feed of feeds())
    for (const [name, t] of Object.entries(feed)) {
      key.update(JSON.stringify([name, t.dtype, t.dims]));
      key.update(toTensor(t).bytes());
    }
  return { folder, key: key.digest('hex') };
}

/** What of a recipe the codes of weights depend on. */
function partOf(recipe: Recipe): unknown {
  const { calibration, compress, distill, train, optimize, adjust, target, quantize } = recipe;
  const { checkpoint: _where, ...weights } = quantize.weights;
  const { data: _data, cache: _cache, ...how } = calibration;
  return { how, compress, distill, train, optimize, adjust, target, quantize: { ...quantize, weights } };
}
