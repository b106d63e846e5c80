import { binaryCrossEntropy } from './binary-cross-entropy.js';
import { cosine } from './cosine.js';
import { crossEntropy } from './cross-entropy.js';
import { kl } from './kl.js';
import { mse } from './mse.js';
import { tokenCrossEntropy } from './token-cross-entropy.js';
import type { Loss } from './types.js';

/** Every loss, by name. A new one is a line here. */
export const losses: readonly Loss[] = [crossEntropy, tokenCrossEntropy, binaryCrossEntropy, kl, mse, cosine];
