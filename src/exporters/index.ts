import { encodings } from './encodings.js';
import type { Exporter } from './types.js';

/** Every exporter that a recipe can name. */
export const exporters = [encodings] as const satisfies readonly Exporter[];
