import type { Metric } from '../types.js';
import { auc } from './auc.js';
import { choices } from './choices.js';
import { classAccuracy } from './class-accuracy.js';
import { pearson, spearman } from './correlation.js';
import { f1 } from './f1.js';
import { kl } from './kl.js';
import { map, mapVoc } from './map.js';
import { perplexity } from './perplexity.js';
import { ssim } from './ssim.js';
import { cosine, mse, psnr, sqnr } from './target-error.js';
import { top1Agreement } from './top1-agreement.js';
import { top1, top5, topK } from './top-k.js';
import { wer } from './wer.js';

/** Every metric that a recipe can name. */
export const metrics: readonly Metric[] = [
  top1,
  top5,
  topK,
  classAccuracy,
  f1,
  auc,
  spearman,
  pearson,
  map,
  mapVoc,
  wer,
  perplexity,
  kl,
  top1Agreement,
  choices,
  cosine,
  mse,
  sqnr,
  psnr,
  ssim,
];
