/** What a search tries after its first round: changes of the candidate that leads. */
import { filterOf } from '../pipeline/mixed.js';
import { methodName } from '../pipeline/stages.js';
import { type Candidate, type Objective, type Quantize, type Work } from './candidates.js';
import type { Tried } from './trials.js';

/**
 * Around the best of a family: other codes of the same weights, which cost nothing at run time; for size, narrower
 * weights.
 */
export function refinements(best: Candidate, objective: Objective, { hasData, ownText }: Work): Candidate[] {
  if (!hasData && !(ownText && best.family === 'weight-only')) return [];
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
    case 'weight-only': {
      if (!/4$/.test(w.dtype ?? '')) return [];
      const named = hasData ? 'GPTQ' : 'the best codes on its own text';
      const codes: Quantize['weights'] = hasData ? { method: 'gptq', correct: ['bias'] } : { method: 'best' };
      const match: Quantize['weights'] = hasData ? { match: 'layer', samples: 128 } : {};
      return [
        of(named, 'rounds weights so that they make up for each other', { ...codes, ...match }),
        ...(objective === 'size'
          ? [
              of(
                `2 bits by ${named}, tables in 4`,
                'half the bytes of products again; only codes that look at inputs make up for such steps',
                { dtype: 'uint2', ...codes },
                { embeddings: 'uint4' },
              ),
            ]
          : []),
      ];
    }
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

/** A drop this much beyond the limit is more than learning makes up for: it takes a tenth to a quarter of the error. */
const NEAR = 3;

/**
 * The refinement whose codes are worth learning: the widest that missed the limit, where it missed it by little. Those
 * that follow one that keeps it are no use. Undefined where there is none.
 */
export function worthLearning(
  refined: readonly Tried[],
  within: (t: Tried) => boolean,
  limit: number,
): Tried | undefined {
  const first = refined.findIndex(within);
  const missed = refined
    .slice(0, first < 0 ? refined.length : first)
    .filter((t) => t.outcome === 'ok' && methodName(t.candidate.quantize.weights) === 'gptq');
  const last = missed.at(-1);
  return last?.drop !== undefined && last.drop <= NEAR * limit ? last : undefined;
}

/** The same grid with codes, scales and biases that are learned block after block. */
export function learned(of: Candidate): Candidate {
  const { weights } = of.quantize;
  return {
    ...of,
    label: of.label.replace('GPTQ', 'learned blocks'),
    why: 'GPTQ misses the limit by little: codes, scales and biases of whole blocks are learned from the float model',
    quantize: {
      ...of.quantize,
      weights: {
        ...weights,
        method: 'brecq',
        correct: weights?.correct?.length ? weights.correct : ['bias'],
        samples: LEARNING_SAMPLES,
      },
    },
  };
}
/** Fewer are learned by heart. */
const LEARNING_SAMPLES = 512;

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
 * A weight-only model with bits by layer, tables too: those that lose least by it get 2, and so on, in the bytes that
 * lie `part` of the way from the file of all in 2 bits to that of the best.
 */
export function bitsByLayer(best: Candidate, part: number, two: number, four: number): Candidate {
  const sizeRatio = Number((two + part * (four - two)).toPrecision(4));
  const choices = (['uint2', 'uint4', 'uint8'] as const).map((dtype) => ({ weights: { dtype } }));
  return {
    ...best,
    label: `${best.label}, bits by layer in ${sizeRatio} ×`,
    why: 'layers that lose least by it get fewer bits, by measured divergence under a size',
    quantize: { ...best.quantize, budget: { sizeRatio, samples: TEXTS, choices } },
  };
}
/** Each is some hundred places at which the next token is told. */
const TEXTS = 8;

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
