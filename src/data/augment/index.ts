import { colour } from './colour.js';
import { crop } from './crop.js';
import { cutout } from './cutout.js';
import { flip } from './flip.js';
import { mixup } from './mixup.js';
import { turn } from './turn.js';
import type { Augmentation } from './types.js';

/** Every augmentation, by name. A new one is a line here. */
export const augmentations: readonly Augmentation[] = [flip, crop, turn, colour, cutout, mixup];
