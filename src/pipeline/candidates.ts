/**
 * What `quantize auto` tries. Candidates come in families; what differs between families (kernels, size) is decided by
 * measuring one of each, what differs within one (ranges, codes) by how near the outputs stay. See docs/adr/0008.
 */
import type { Recipe, RecipeInput } from '../recipe/schema.js';
import { filterOf } from './mixed.js';

type Quantize = NonNullable<RecipeInput['quantize']>;
type Calibration = NonNullable<RecipeInput['calibration']>;
/** Candidates of one family differ little in size and speed. */
export const FAMILIES = ['static', 'dynamic', 'weight-only', 'stored', 'half', 'float'] as const;
export type Family = (typeof FAMILIES)[number];
export interface Candidate {
  readonly label: string;
  readonly why: string;
  readonly family: Family;
  readonly adjust: NonNullable<RecipeInput['adjust']>;
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
  /**
   * Made-up images of the model's kind, where the recipe has no calibration data and its evaluation data are images.
   */
  readonly synthetic: Calibration['data'];
  /** Whether BatchNormalization tells the means of channels. */
  readonly moments: boolean;
  /** Whether the target has kernels that read weights of 4 bits. */
  readonly blockKernels: boolean;
}

/** The sections of a recipe that a candidate replaces. */
export function sectionsOf(
  c: Candidate,
  base: Recipe,
): Pick<RecipeInput, 'adjust' | 'quantize' | 'calibration' | 'optimize'> {
  return {
    adjust: c.adjust,
    quantize: c.quantize,
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
const kept = ({ quantize: { include, exclude, seed } }: Recipe): Quantize => ({ include, exclude, seed });

/** The first round: every family that can win by the objective, in the order in which time is spent on them. */
export function firstRound(base: Recipe, work: Work, objective: Objective): Candidate[] {
  return [
    ...(work.products > 0.5 ? [dynamic(base)] : []),
    ...(work.products > 0.5 && (objective === 'size' || work.blockKernels) ? weightOnly(base, objective) : []),
    ...statics(base, work),
    ...dataFree(base, work),
    ...(objective === 'size' ? stored(base) : atFloatSpeed(base)),
  ];
}

/**
 * Integer kernels for weights and activations, with every observer; adjustments each alone, as most do much the same.
 */
function statics(base: Recipe, { products, convolutions, hasData }: Work): Candidate[] {
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
          quantize: { ...kept(base), format: 'qdq', activations: { observer } },
        })),
      )
    : [];
}

/** Static int8 without calibration data (DFQ): ranges from made-up images, means from BatchNormalization. */
function dataFree(base: Recipe, { convolutions, synthetic, moments }: Work): Candidate[] {
  if (synthetic === undefined || convolutions === 0) return [];
  const of = (observer: string, adjust: Candidate['adjust'], corrected: boolean): Candidate => ({
    label: [...adjust, `int8 ${observer}`, ...(corrected ? ['expected bias'] : []), 'made-up images'].join(' + '),
    family: 'static',
    why: 'no calibration data: made-up images give the ranges',
    adjust,
    calibration: { data: synthetic },
    quantize: {
      ...kept(base),
      format: 'qdq',
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

const dynamic = (base: Recipe): Candidate => ({
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
function weightOnly(base: Recipe, objective: Objective): Candidate[] {
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
function stored(base: Recipe): Candidate[] {
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

/**
 * Around the best of a family: other codes of the same weights, which cost nothing at run time; for size, narrower
 * weights.
 */
export function refinements(best: Candidate, objective: Objective, { hasData }: Work): Candidate[] {
  if (!hasData) return [];
  const w = best.quantize.weights ?? {};
  const of = (suffix: string, why: string, weights: Quantize['weights'], more: Quantize = {}): Candidate => ({
    ...best,
    label: `${best.label} + ${suffix}`,
    why,
    quantize: { ...best.quantize, ...more, weights: { ...w, ...weights } },
  });
  switch (best.family) {
    case 'static':
      return objective === 'latency'
        ? [
            of('bias correction', 'moves the mean of each channel back', { correct: ['bias'], samples: 128 }),
            of('GPTQ', 'rounds weights so that they make up for each other', { method: 'gptq', correct: ['bias'] }),
          ]
        : [
            of(
              '2-bit GPTQ',
              'a quarter of the weight bytes, in the same kernels; means and deviations of channels are put right',
              { dtype: 'int8', bits: 2, method: 'gptq', correct: ['bias', 'scale'] },
            ),
            of('3-bit GPTQ', 'three eighths of the weight bytes, in the same kernels', {
              dtype: 'int8',
              bits: 3,
              method: 'gptq',
              correct: ['bias'],
            }),
            of('4-bit GPTQ', 'half the weight bytes, in the same kernels; GPTQ makes up for most of the error', {
              dtype: 'int8',
              bits: 4,
              method: 'gptq',
              correct: ['bias'],
            }),
            of(
              '4-bit GPTQ, first and last 8',
              'the first and the last layer are small and sensitive',
              { dtype: 'int8', bits: 4, method: 'gptq', correct: ['bias'] },
              {
                layers: [
                  { match: { position: 'first' }, weights: { bits: 8 } },
                  { match: { position: 'last' }, weights: { bits: 8 } },
                ],
              },
            ),
          ];
    case 'weight-only':
      return /4$/.test(w.dtype ?? '')
        ? [
            of('GPTQ', 'rounds weights so that they make up for each other', {
              method: 'gptq',
              correct: ['bias'],
              match: 'layer',
              samples: 128,
            }),
            ...(objective === 'size'
              ? [
                  of(
                    '2 bits by GPTQ, tables in 4',
                    'half the bytes of products again; only GPTQ makes up for such steps',
                    { dtype: 'uint2', method: 'gptq', correct: ['bias'] },
                    { embeddings: 'uint4' },
                  ),
                ]
              : []),
          ]
        : [];
    case 'dynamic':
      return objective === 'size'
        ? [4, 5, 6].map((bits) =>
            of(`${bits}-bit GPTQ`, 'fewer weight bytes in the same kernels', {
              bits,
              method: 'gptq',
              correct: ['bias'],
            }),
          )
        : [];
    case 'stored':
    case 'half':
    case 'float':
      return [];
  }
}

/** Bits that a weight takes in the file. */
// types end in their bits
export const weightBits = ({ weights: w }: Quantize): number => w?.bits ?? Number(/\d+$/.exec(w?.dtype ?? 'int8')![0]);

/**
 * Between all weights in 4 bits and all in 8: each layer gets its bits by measured sensitivity. Ratios are of file
 * sizes to that of the float model.
 */
export function mixtures(best: Candidate, four: number, eight: number): Candidate[] {
  const w = best.quantize.weights ?? {};
  return [1 / 3, 2 / 3].map((part) => {
    const sizeRatio = Number((four + part * (eight - four)).toPrecision(4));
    return {
      ...best,
      label: `${best.label} + mixed 4 and 8 bits in ${sizeRatio} ×`,
      why: '4 bits for all miss the limit: the layers that need it get 8',
      quantize: { ...best.quantize, weights: { ...w, method: 'gptq', correct: ['bias'] }, budget: { sizeRatio } },
    } satisfies Candidate;
  });
}

/**
 * The best of a family with its most sensitive layers spared: in float, with float inputs, or with 8-bit weights.
 * `order` is the layer to spare first.
 */
export function exclusions(best: Candidate, order: readonly string[]): Candidate[] {
  const { quantize: q } = best;
  const spared = (nodes: readonly string[]): Quantize => {
    switch (best.family) {
      case 'static':
        return { ...q, exclude: [...(q.exclude ?? []), ...nodes] };
      case 'dynamic':
        return { ...q, weightOnly: [...(q.weightOnly ?? []), ...nodes] };
      case 'weight-only':
        return {
          ...q,
          layers: [...(q.layers ?? []), ...nodes.map((match) => ({ match, weights: { dtype: 'uint8' as const } }))],
        };
      case 'stored':
      case 'half':
      case 'float':
        return { ...q, exclude: [...(q.exclude ?? []), ...nodes] };
    }
  };
  const how = {
    static: 'left in float',
    dynamic: 'with float inputs',
    'weight-only': 'with 8-bit weights',
    stored: 'left in float',
    half: 'left in float',
    float: 'left in float',
  }[best.family];
  return [1, 2, 4, 8, 16]
    .filter((n) => n < order.length)
    .map((n) => ({
      ...best,
      label: `${best.label} − ${n} layer${n === 1 ? '' : 's'}`,
      why: `${how}: ${order.slice(0, Math.min(n, 4)).join(', ')}${n > 4 ? ' …' : ''}`,
      quantize: spared(order.slice(0, n)),
    }));
}

/**
 * What a profile tells of the layers of a model: µs of each as float and quantized, and of the kernels that belong to
 * none.
 */
export interface Costs {
  readonly layers: readonly {
    readonly node: string;
    readonly floatUs?: number | undefined;
    readonly quantizedUs?: number | undefined;
  }[];
  readonly rest: { readonly quantized: readonly { readonly op: string; readonly us: number }[] };
}

/**
 * A static model without the layers that gain less than their share of the conversions around them: first those that
 * lose by themselves, then those that gain less than one share, then less than three. Layers of a kind come apart by
 * measured times alone.
 */
export function withoutLosses(best: Candidate, { layers, rest }: Costs): Candidate[] {
  const both = layers.flatMap((l) =>
    l.floatUs === undefined || l.quantizedUs === undefined ? [] : [{ node: l.node, gain: l.floatUs - l.quantizedUs }],
  );
  const conversions = rest.quantized.reduce((us, k) => us + (/(Quantize|Dequantize)Linear$/.test(k.op) ? k.us : 0), 0);
  const share = conversions / Math.max(1, both.length);
  const found = new Map<number, Candidate>();
  for (const shares of [0, 1, 3]) {
    const nodes = both.filter((l) => l.gain <= shares * share).map((l) => filterOf(l.node));
    if (!nodes.length || nodes.length === both.length || found.has(nodes.length)) continue;
    found.set(nodes.length, {
      ...best,
      label: `${best.label} − ${nodes.length} slow layer${nodes.length === 1 ? '' : 's'}`,
      why: 'layers that gain less in integers than the conversions around them cost stay float',
      quantize: { ...best.quantize, exclude: [...(best.quantize.exclude ?? []), ...nodes] },
    });
  }
  return [...found.values()];
}
