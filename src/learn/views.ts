/** More to learn from than there are samples: images mirrored and moved. */
import { field } from '../base/lists.js';
import { createRng } from '../base/rng.js';
import { crop } from '../data/augment/crop.js';
import { flip } from '../data/augment/flip.js';
import type { Feed } from '../ir/feed.js';
import { imageOf, imagesIn } from '../train/batches.js';

/** A view moves by at most this share of the side of an image. */
const MOVED = 1 / 16;

/**
 * A batch with each image mirrored or not, and moved by up to a sixteenth; what comes in is the mirrored image. The
 * same seed and `view` give the same. Throws DATA_SHAPE where no input is an image of float32.
 */
export function viewOf(feed: Feed, seed: number, view: string): Feed {
  const { name, layout } = imageOf(feed);
  const given = field(feed, name);
  const changed = { ...given, data: given.data.slice() };
  for (const [i, image] of imagesIn(changed, layout, name).entries()) {
    const rng = createRng(seed, `view ${view} ${i}`);
    const padding = Math.max(1, Math.round(MOVED * Math.min(image.height, image.width)));
    flip.apply(image, rng, flip.options.parse({}));
    crop.apply(image, rng, crop.options.parse({ padding, fill: 'reflect' }));
  }
  return { ...feed, [name]: changed };
}
