import type { Metric } from '../types.js';
import { pearson, spearman } from './correlation.js';
import { top1, top5 } from './top-k.js';

/** Every metric that a recipe can name. */
export const metrics: readonly Metric[] = [top1, top5, spearman, pearson];
