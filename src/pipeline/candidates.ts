/** What `quantize auto` tries, and in which round. */
import { adjustments } from '../adjust/index.js';
import type { RecipeInput } from '../recipe/schema.js';
import type { Recipe } from '../recipe/schema.js';

type Quantize = NonNullable<RecipeInput['quantize']>;
export interface Candidate {
  readonly label: string;
  readonly why: string;
  /** Candidates of one family differ little in size and speed. */
  readonly family: 'static' | 'dynamic' | 'stored';
  readonly adjust: NonNullable<RecipeInput['adjust']>;
  readonly quantize: Quantize;
}
export type Objective = 'latency' | 'size';

/** Which ops do the work, as shares of the multiply-accumulates. */
export interface Work { readonly products: number; readonly convolutions: number; readonly hasData: boolean }

const OBSERVERS = ['minmax', 'percentile', 'kl', 'mse'] as const;

/** What the user decided stays as it is: which nodes, and the seed. */
const kept = ({ quantize: { include, exclude, seed } }: Recipe): Quantize => ({ include, exclude, seed });

/** Changes of the float model to try before static quantization: each alone, as most do much the same. */
function changes({ products, convolutions }: Work): { readonly name: string; readonly why: string }[] {
  const known = (name: string): boolean => adjustments.some((a) => a.name === name);
  return [
    ...(convolutions > 0 && known('equalise') ? [{ name: 'equalise', why: 'channels of unequal range share a scale badly' }] : []),
    ...(products > 0.5 && known('smooth') ? [{ name: 'smooth', why: 'outliers of activations move into the weights' }] : []),
  ];
}

/** The first round: every family, with all observers. */
export function firstRound(base: Recipe, work: Work, objective: Objective): Candidate[] {
  const own = kept(base);
  const statics = work.hasData ? [undefined, ...changes(work)].flatMap((change) => OBSERVERS.map((observer): Candidate => ({
    label: [...(change ? [change.name] : []), `int8 ${observer}`].join(' + '), family: 'static', why: change ? change.why : 'integer kernels for weights and activations; observers differ in what they cut off',
    adjust: change ? [change.name] : [], quantize: { ...own, format: 'qdq', activations: { observer } },
  }))) : [];
  const dynamic: Candidate[] = work.products > 0.5 ? [{ label: 'int8 dynamic', family: 'dynamic', why: 'matrix products are most of the work, and ranges found at run time need no calibration', adjust: [], quantize: { ...own, format: 'dynamic' } }] : [];
  return [...statics, ...dynamic, ...(objective === 'size' ? stored(base) : [])];
}

/** Weights that are only stored in few bits: as exact as float activations are, and as slow. */
export function stored(base: Recipe): Candidate[] {
  const own = kept(base);
  const of = (label: string, why: string, coding: Quantize['coding']): Candidate => ({ label, family: 'stored', why, adjust: [], quantize: { ...own, format: 'coded', ...(coding === undefined ? {} : { coding }) } });
  return [
    of('stored int8', 'only the weights lose bits; runs at the speed of float', { name: 'integer', bits: 8 }),
    of('stored int4, blocks of 32', 'half of int8; blocks keep the scales close', { name: 'integer', bits: 4, block: 32 }),
    of('stored as 16 shared values', 'k-means puts the levels where the weights are', { name: 'k-means', bits: 4 }),
  ];
}

/** The safest there is, where nothing else keeps the limit. */
export const safest = (base: Recipe): Candidate[] => stored(base).slice(0, 1);

/** Around the best static candidate: corrections, which cost nothing at run time; for size, narrower weights. */
export function refinements(best: Candidate, objective: Objective): Candidate[] {
  if (best.family !== 'static') return [];
  const w = best.quantize.weights ?? {};
  const of = (suffix: string, why: string, weights: Quantize['weights'], more: Quantize = {}): Candidate => ({ ...best, label: `${best.label} + ${suffix}`, why, quantize: { ...best.quantize, ...more, weights: { ...w, ...weights } } });
  return objective === 'latency' ? [
    of('bias correction', 'moves the mean of each channel back', { correct: ['bias'], samples: 128 }),
    of('GPTQ', 'rounds weights so that they make up for each other', { method: 'gptq', correct: ['bias'] }),
  ] : [
    of('int4 GPTQ', 'half the weight bytes; GPTQ makes up for most of the error', { dtype: 'int4', method: 'gptq', correct: ['bias'] }),
    of('int4 GPTQ, first and last int8', 'the first and the last layer are small and sensitive', { dtype: 'int4', method: 'gptq', correct: ['bias'] }, { layers: [{ match: { position: 'first' }, weights: { dtype: 'int8' } }, { match: { position: 'last' }, weights: { dtype: 'int8' } }] }),
  ];
}

/** Between all weights in int4 and all in int8: each layer gets its bits by measured sensitivity. Ratios are of file sizes to that of the float model. */
export function mixtures(best: Candidate, int4: number, int8: number): Candidate[] {
  const w = best.quantize.weights ?? {};
  return [1 / 3, 2 / 3].map((part) => {
    const sizeRatio = Number((int4 + part * (int8 - int4)).toPrecision(4));
    return {
      ...best, label: `${best.label} + mixed int4 and int8 in ${sizeRatio} ×`, why: 'int4 for all misses the limit: the layers that need it get int8',
      quantize: { ...best.quantize, weights: { ...w, method: 'gptq', correct: ['bias'] }, budget: { sizeRatio, choices: [{ weights: { dtype: 'int8' } }, { weights: { dtype: 'int4' } }] } },
    } satisfies Candidate;
  });
}

/** The best static candidate with its most sensitive layers in float. `order` is most accuracy per multiply-accumulate first. */
export function exclusions(best: Candidate, order: readonly string[]): Candidate[] {
  const counts = [1, 2, 4, 8, 16].filter((n) => n < order.length);
  return counts.map((n) => ({
    ...best, label: `${best.label} − ${n} layer${n === 1 ? '' : 's'}`, why: `left in float: ${order.slice(0, Math.min(n, 4)).join(', ')}${n > 4 ? ' …' : ''}`,
    quantize: { ...best.quantize, exclude: [...best.quantize.exclude ?? [], ...order.slice(0, n)] },
  }));
}
