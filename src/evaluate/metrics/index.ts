import type { Metric } from '../types.js';
import { auc } from './auc.js';
import { classAccuracy } from './class-accuracy.js';
import { f1 } from './f1.js';
import { pearson, spearman } from './correlation.js';
import { top1, top5, topK } from './top-k.js';

/** Every metric that a recipe can name. */
export const metrics: readonly Metric[] = [top1, top5, topK, classAccuracy, f1, auc, spearman, pearson];
