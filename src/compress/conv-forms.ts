/** The forms in which a convolution becomes several smaller ones in a row, and what their ranks cost and lose. */
import { item } from '../base/lists.js';
import { cpFactors } from './cp-factors.js';
import {
  inputMatrix,
  outputMatrix,
  spatialFactors,
  spatialMatrix,
  squaresOf,
  tuckerFactors,
} from './kernel-factors.js';
import type { Kernel } from './kernel-factors.js';
import type { Choice } from './spend.js';
import { vbmfRank } from './vbmf.js';

/** One of the convolutions in a row, and of which axes, height and width, it has the strides, dilations and pads. */
export interface Step {
  readonly kernel: Kernel;
  readonly axes: readonly [boolean, boolean];
  readonly role: string;
  /** Each channel for itself. */
  readonly depthwise?: true;
}
export interface RankChoice extends Choice {
  /** Empty: the convolution stays. */
  readonly ranks: readonly number[];
}
export interface Factoring {
  /** Multiply-accumulates of one output place. */
  work(ranks: readonly number[]): number;
  /** All ranks that save something, with the share of the energy that they lose. */
  choices(): RankChoice[];
  /** The least ranks that keep a share of the energy. */
  keeping(share: number): readonly number[];
  vbmf(): readonly number[];
  steps(ranks: readonly number[]): Step[];
}
/** Of a kernel and the strides of its convolution. */
export type ConvForm = (kernel: Kernel, strides: readonly [number, number]) => Factoring;

/** So many ranks of one side are tried at most. */
const TRIED = 128;

const spatial: ConvForm = (kernel, [, across]) => {
  const [o, i, h, w] = kernel.dims;
  const matrix = spatialMatrix(kernel);
  const squares = squaresOf(matrix);
  const lost = tailsOf(squares);
  const work = (ranks: readonly number[]): number => item(ranks, 0) * (i * h * across + o * w);
  return {
    work,
    choices: () => below(squares.length).map((r) => ({ ranks: [r], lost: item(lost, r), work: work([r]) })),
    keeping: (share) => [rankKeeping(squares, share)],
    vbmf: () => [Math.max(1, vbmfRank(squares, matrix.rows, matrix.columns))],
    steps: (ranks) => {
      const { first, second } = spatialFactors(kernel, item(ranks, 0));
      return [
        { kernel: first, axes: [true, false], role: 'height' },
        { kernel: second, axes: [false, true], role: 'width' },
      ];
    },
  };
};

const tucker: ConvForm = (kernel, [down, across]) => {
  const [o, i, h, w] = kernel.dims;
  const sides = [outputMatrix(kernel), inputMatrix(kernel)].map((m) => ({ m, squares: squaresOf(m) }));
  const squares = sides.map((s) => s.squares);
  const [a, b] = [tailsOf(item(squares, 0)), tailsOf(item(squares, 1))];
  const work = (ranks: readonly number[]): number => {
    const [outer, inner] = [item(ranks, 0), item(ranks, 1)];
    return inner * i * down * across + outer * inner * h * w + o * outer;
  };
  return {
    work,
    // What both sides lose is the most that the whole can.
    choices: () =>
      below(a.length - 1).flatMap((outer) =>
        below(b.length - 1).map((inner) => {
          return { ranks: [outer, inner], lost: item(a, outer) + item(b, inner), work: work([outer, inner]) };
        }),
      ),
    keeping: (share) => squares.map((s) => rankKeeping(s, share)),
    vbmf: () => sides.map((s) => Math.max(1, vbmfRank(s.squares, s.m.rows, s.m.columns))),
    steps: (ranks) => {
      const f = tuckerFactors(kernel, [item(ranks, 0), item(ranks, 1)]);
      return [
        { kernel: f.first, axes: [false, false], role: 'narrow' },
        { kernel: f.core, axes: [true, true], role: 'core' },
        { kernel: f.last, axes: [false, false], role: 'wide' },
      ];
    },
  };
};

/** Windows of more places than this have a vector for the height and one for the width. */
const SMALL_WINDOW = 9;
/** Ranks at which CP is tried, each from the one before; between them what is lost is taken as linear. */
const POINTS = 12;
/** Multiply-accumulates that one fit may take: some seconds. */
const PATIENCE = 4e9;

const cp: ConvForm = (kernel, [down, across]) => {
  const [o, i, h, w] = kernel.dims;
  const apart = h > 1 && w > 1 && h * w > SMALL_WINDOW;
  const sizes = apart ? [o, i, h, w] : [o, i, h * w];
  const whole = o * i * h * w;
  const each = i * down * across + (apart ? h * across + w : h * w) + o;
  // More components than this are never needed.
  const most = Math.max(1, Math.min(whole / Math.max(...sizes), Math.floor((whole - 1) / each)));
  const total = kernel.values.reduce((n, v) => n + v * v, 0) || Number.MIN_VALUE;
  const fit = (rank: number, share: number, from?: readonly Float64Array[]) => {
    const rounds = Math.floor((share * PATIENCE) / (whole * rank * sizes.length));
    return cpFactors(kernel.values, sizes, { rank, rounds: Math.min(300, Math.max(5, rounds)), seed: 1, from });
  };
  let known: { readonly curve: Float64Array; readonly fits: Map<number, readonly Float64Array[]> } | undefined;
  const tried = () => {
    if (known) return known;
    const ranks = [...new Set(Array.from({ length: POINTS }, (_, k) => Math.round(most ** (k / (POINTS - 1)))))];
    const fits = new Map<number, readonly Float64Array[]>();
    const curve = new Float64Array(most + 1).fill(1);
    let [before, from]: [number, readonly Float64Array[] | undefined] = [0, undefined];
    for (const rank of ranks) {
      const found = fit(rank, 0.5 / POINTS, from);
      const [start, end] = [item(curve, before), Math.min(item(curve, before), found.lost / total)];
      for (let r = before + 1; r <= rank; r++) curve[r] = start + ((end - start) * (r - before)) / (rank - before);
      fits.set(rank, found.factors);
      [before, from] = [rank, found.factors];
    }
    return (known = { curve, fits });
  };
  const work = (ranks: readonly number[]): number => item(ranks, 0) * each;
  return {
    work,
    choices: () => {
      const { curve } = tried();
      return below(most).map((r) => ({ ranks: [r], lost: item(curve, r), work: work([r]) }));
    },
    keeping: (share) => {
      const found = tried().curve.findIndex((lost, r) => r > 0 && lost <= 1 - share);
      return [found < 0 ? Math.ceil(whole / each) : found];
    },
    // A tensor has no rank below those of its sides.
    vbmf: () =>
      tucker(kernel, [down, across])
        .vbmf()
        .toSorted((x, y) => y - x)
        .slice(0, 1),
    steps: (ranks) => {
      const rank = item(ranks, 0);
      const best = [fit(rank, 0.5), fit(rank, 0.5, known?.fits.get(rank))].reduce((a, b) => (b.lost < a.lost ? b : a));
      const [outputs, inputs, height, width] = best.factors;
      const first: Kernel = { values: inputs ?? new Float64Array(0), dims: [rank, i, 1, 1] };
      const window = (values: Float64Array | undefined, dims: readonly [number, number]): Kernel => ({
        values: values ?? new Float64Array(0),
        dims: [rank, 1, ...dims],
      });
      const last = Float64Array.from({ length: o * rank }, (_, at) => {
        return item(outputs ?? [], (at % rank) * o + Math.floor(at / rank));
      });
      return [
        { kernel: first, axes: [false, false], role: 'narrow' },
        ...(apart
          ? [
              { kernel: window(height, [h, 1]), axes: [true, false], role: 'height', depthwise: true } as const,
              { kernel: window(width, [1, w]), axes: [false, true], role: 'width', depthwise: true } as const,
            ]
          : [{ kernel: window(height, [h, w]), axes: [true, true], role: 'window', depthwise: true } as const]),
        { kernel: { values: last, dims: [o, rank, 1, 1] }, axes: [false, false], role: 'wide' },
      ];
    },
  };
};

export const convForms = { spatial, tucker, cp } as const;

/** 1 to n, where those are many evenly thinned. */
function below(n: number): number[] {
  const step = Math.max(1, Math.ceil(n / TRIED));
  return Array.from({ length: Math.ceil(n / step) }, (_, k) => Math.min(n, (k + 1) * step));
}

/** The share of the energy beyond each rank, from 0 to all. */
function tailsOf(squares: Float64Array): Float64Array {
  const tails = new Float64Array(squares.length + 1);
  for (let r = squares.length - 1; r >= 0; r--) tails[r] = item(tails, r + 1) + item(squares, r);
  const total = item(tails, 0) || Number.MIN_VALUE;
  return tails.map((v) => v / total);
}

/** The least rank, at least 1, that keeps a share of the energy. */
export function rankKeeping(squares: Float64Array, share: number): number {
  const total = squares.reduce((n, v) => n + v, 0);
  let kept = 0;
  for (let r = 0; r < squares.length; r++) {
    kept += item(squares, r);
    if (kept >= share * total) return r + 1;
  }
  return squares.length;
}
