/**
 * What `quantize auto` tries. Candidates come in families; what differs between families (kernels, size) is decided by
 * measuring one of each, what differs within one (ranges, codes) by how near the outputs stay. See docs/adr/0008.
 */
import type { Recipe, RecipeInput } from '../recipe/schema.js';

export type Quantize = NonNullable<RecipeInput['quantize']>;
type Calibration = NonNullable<RecipeInput['calibration']>;
/** Candidates of one family differ little in size and speed. */
export const FAMILIES = ['static', 'dynamic', 'weight-only', 'stored', 'half', 'float'] as const;
export type Family = (typeof FAMILIES)[number];
export interface Candidate {
  readonly label: string;
  readonly why: string;
  readonly family: Family;
  readonly adjust: NonNullable<RecipeInput['adjust']>;
  /** What makes the float model smaller first; that of the recipe where it says nothing. */
  readonly compress?: NonNullable<RecipeInput['compress']>;
  readonly quantize: Quantize;
  /** What it changes of the recipe's calibration. */
  readonly calibration?: Calibration;
  /** What it changes of how the graph is cleaned. */
  readonly optimize?: NonNullable<RecipeInput['optimize']>;
}
export type Objective = 'latency' | 'size';

/** What is known of the model before anything is measured. */
export interface Work {
  /** Shares of the multiply-accumulates. */
  readonly products: number;
  readonly convolutions: number;
  readonly hasData: boolean;
  /** Whether the model can write the text that codes are chosen on. */
  readonly ownText: boolean;
  /**
   * Made-up images of the model's kind, where the recipe has no calibration data and its evaluation data are images.
   */
  readonly synthetic: Calibration['data'];
  /** Whether BatchNormalization tells the means of channels. */
  readonly moments: boolean;
  /** Whether the target has kernels that read weights of 4 bits. */
  readonly blockKernels: boolean;
  /** What the target runs beside float. */
  readonly formats: readonly string[];
}
/** Whether the target runs the format of a candidate. */
export const runsOn = ({ formats }: Pick<Work, 'formats'>, { quantize: { format = 'qdq' } }: Candidate): boolean =>
  format === 'float' || formats.includes(format);

/** The sections of a recipe that a candidate replaces. */
export function sectionsOf(
  c: Candidate,
  base: Recipe,
): Pick<RecipeInput, 'adjust' | 'quantize' | 'calibration' | 'optimize' | 'compress'> {
  return {
    adjust: c.adjust,
    quantize: c.quantize,
    ...(c.compress ? { compress: c.compress } : {}),
    ...(c.calibration ? { calibration: { ...base.calibration, ...c.calibration } } : {}),
    ...(c.optimize ? { optimize: { ...base.optimize, ...c.optimize } } : {}),
  };
}

const FAMILY_OF: Readonly<Record<string, Family>> = {
  dynamic: 'dynamic',
  'weight-only': 'weight-only',
  coded: 'stored',
  float16: 'half',
  float: 'float',
};
export const familyOf = (format: string): Family => FAMILY_OF[format] ?? 'static';

const OBSERVERS = ['minmax', 'percentile', 'kl', 'mse'] as const;
/** Outliers of transformers carry meaning: kl and percentile cut them off, at five times the error on MiniLM. */
const GENTLE = ['minmax', 'mse'] as const;

/** What the user decided stays as it is: which nodes, and the seed. */
export const kept = ({ quantize: { include, exclude, seed } }: Recipe): Quantize => ({ include, exclude, seed });

/** The first round: every family that can win by the objective, in the order in which time is spent on them. */
export function firstRound(base: Recipe, work: Work, objective: Objective): Candidate[] {
  return [
    ...(work.products > 0.5 ? [dynamic(base)] : []),
    ...(work.products > 0.5 && (objective === 'size' || work.blockKernels) ? weightOnly(base, objective) : []),
    ...statics(base, work),
    ...dataFree(base, work),
    ...(objective === 'size' ? stored(base) : atFloatSpeed(base)),
  ].filter((c) => runsOn(work, c));
}

/** How codes of weights and activations are written where the target takes them in one way only. */
const staticFormat = ({ formats }: Work): 'qdq' | 'qoperator' =>
  formats.includes('qoperator') && !formats.includes('qdq') ? 'qoperator' : 'qdq';

/**
 * Integer kernels for weights and activations, with every observer; adjustments each alone, as most do much the same.
 */
function statics(base: Recipe, work: Work): Candidate[] {
  const { products, convolutions, hasData } = work;
  const changes = [
    ...(convolutions > 0 ? [{ name: 'equalise', why: 'channels of unequal range share a scale badly' }] : []),
    ...(products > 0.5 ? [{ name: 'smooth', why: 'outliers of activations move into the weights' }] : []),
  ];
  return hasData
    ? [undefined, ...changes].flatMap((change) =>
        (products > 0.5 ? GENTLE : OBSERVERS).map((observer): Candidate => ({
          label: [...(change ? [change.name] : []), `int8 ${observer}`].join(' + '),
          family: 'static',
          why: change
            ? change.why
            : 'integer kernels for weights and activations; observers differ in what they cut off',
          adjust: change ? [change.name] : [],
          quantize: { ...kept(base), format: staticFormat(work), activations: { observer } },
        })),
      )
    : [];
}

/** Static int8 without calibration data (DFQ): ranges from made-up images, means from BatchNormalization. */
function dataFree(base: Recipe, work: Work): Candidate[] {
  const { convolutions, synthetic, moments } = work;
  if (synthetic === undefined || convolutions === 0) return [];
  const of = (observer: string, adjust: Candidate['adjust'], corrected: boolean): Candidate => ({
    label: [...adjust, `int8 ${observer}`, ...(corrected ? ['expected bias'] : []), 'made-up images'].join(' + '),
    family: 'static',
    why: 'no calibration data: made-up images give the ranges',
    adjust,
    calibration: { data: synthetic },
    quantize: {
      ...kept(base),
      format: staticFormat(work),
      activations: { observer },
      ...(corrected ? { weights: { correct: ['expected-bias'] } } : {}),
    },
  });
  const correct = moments ? [false, true] : [false];
  return correct.flatMap((c) => [
    of('minmax', [], c),
    of('minmax', ['equalise', 'absorb-bias'], c),
    of('percentile', ['equalise', 'absorb-bias'], c),
  ]);
}

export const dynamic = (base: Recipe): Candidate => ({
  label: 'int8 dynamic',
  family: 'dynamic',
  why: 'matrix products are most of the work, and ranges found at run time need no calibration',
  adjust: [],
  quantize: { ...kept(base), format: 'dynamic' },
});

/**
 * Weights in blocks that products read as codes; activations become int8 inside the kernel, block by block, which is as
 * exact and some times faster.
 */
export function weightOnly(base: Recipe, objective: Objective): Candidate[] {
  const of = (label: string, why: string, weights: Quantize['weights']): Candidate => ({
    label,
    family: 'weight-only',
    why,
    adjust: [],
    quantize: {
      ...kept(base),
      format: 'weight-only',
      weights: { symmetric: false, granularity: { block: 32 }, ...weights },
      accuracyLevel: 4,
    },
  });
  return [
    ...(objective === 'latency'
      ? [
          of(
            'uint8 weight-only',
            'blocks keep 8-bit weights exact, and each run finds the ranges of its inputs block by block',
            { dtype: 'uint8' },
          ),
        ]
      : []),
    of('uint4 weight-only', 'half the bytes of int8, tables too; blocks keep the scales close', { dtype: 'uint4' }),
    ...(objective === 'size'
      ? [
          of('uint4 weight-only, HQQ', 'zero points that fit many small errors before few large ones; needs no data', {
            dtype: 'uint4',
            method: 'hqq',
          }),
        ]
      : []),
  ];
}

/** Weights that are only stored in few bits: as exact as float activations are, and as slow. */
export function stored(base: Recipe): Candidate[] {
  const of = (label: string, why: string, coding: Quantize['coding']): Candidate => ({
    label,
    family: 'stored',
    why,
    adjust: [],
    quantize: { ...kept(base), format: 'coded', ...(coding === undefined ? {} : { coding }) },
  });
  return [
    of('stored int8', 'only the weights lose bits; runs at the speed of float', { name: 'integer', bits: 8 }),
    of('stored int4, blocks of 32', 'half of int8; blocks keep the scales close', {
      name: 'integer',
      bits: 4,
      block: 32,
    }),
    of('stored as 16 shared values', 'k-means puts the levels where the weights are', { name: 'k-means', bits: 4 }),
  ];
}

/** What is about as fast as float: where integers only cost time, one of these is the answer. */
const atFloatSpeed = (base: Recipe): Candidate[] => [
  ...stored(base).slice(0, 1),
  {
    label: 'float16',
    family: 'half',
    why: 'half the bytes, and faster where the processor computes in it',
    adjust: [],
    quantize: { ...kept(base), format: 'float16' },
  },
  {
    label: 'optimized float',
    family: 'float',
    why: 'fused and merged, but not quantized',
    adjust: [],
    quantize: { seed: base.quantize.seed, format: 'float' },
    optimize: { enabled: true, level: 'default' },
  },
];

/** The safest there is, where nothing else keeps the limit. */
export const safest = (base: Recipe): Candidate[] => stored(base).slice(0, 1);

/** Bits that a weight takes in the file. */
// types end in their bits
export const weightBits = ({ weights: w }: Quantize): number => w?.bits ?? Number(/\d+$/.exec(w?.dtype ?? 'int8')![0]);
