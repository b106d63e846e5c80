import { adam } from './adam.js';
import { adamw } from './adamw.js';
import { lamb } from './lamb.js';
import { muon } from './muon.js';
import { sgd } from './sgd.js';
import { signSgd } from './sign-sgd.js';
import type { Optimiser } from './types.js';

/** Every optimiser, by name. A new one is a line here. */
export const optimisers: readonly Optimiser[] = [sgd, adam, adamw, lamb, muon, signSgd];
