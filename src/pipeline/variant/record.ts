/** What a run has done and measured so far, as its record. */
import path from 'node:path';
import { asRecorded, modelFacts } from '../../facts/model.js';
import { relativePath } from '../../recipe/override.js';
import type { CalibrationFacts, LowRankFacts, NodeFacts, RunRecord, TrainingFacts } from '../../record/index.js';
import type { KernelOf } from '../../runtime/inspect-optimized.js';
import type { LowRankTerm } from '../../scheme/quantized.js';
import { mainFile } from '../../record/main-file.js';
import type { MeasuredVariant, PlannedVariant, RefinedVariant } from './types.js';

/** What the records of those that run together share. */
export type SharedFacts = Pick<
  RunRecord,
  'schema' | 'quantbench' | 'startedAt' | 'durationMs' | 'outcome' | 'environment' | 'stages' | 'passes' | 'diagnostics'
> & {
  readonly float: RunRecord['model']['float'];
  /** Multiply-accumulates of the model that is quantized. */
  readonly macs: number;
  /** Of those that were calibrated. */
  readonly calibration: Omit<CalibrationFacts, 'observer'> | undefined;
  /** Where the model was made smaller. */
  readonly compression?: RunRecord['compression'];
  /** Where it was trained. */
  readonly training?: RunRecord['training'];
};

/** The record of a run, or of what was planned alone. */
export function recordOf(v: PlannedVariant | MeasuredVariant, shared: SharedFacts): RunRecord {
  const { float, macs, calibration, diagnostics, ...rest } = shared;
  const { recipe, name, file, yaml, plugins, baseDir } = v.recipe;
  const used = plugins.files.map((p) => ({ ...p, file: relativePath(baseDir, p.file) }));
  const done = 'measured' in v ? v : undefined;
  const { kernels = [], ...measured } = done?.measured ?? {};
  const files = done?.folder.files() ?? [];
  const training =
    done?.training && rest.training ? joined(rest.training, done.training) : (done?.training ?? rest.training);
  return {
    ...rest,
    recipe: {
      name,
      ...(file ? { file: path.basename(file) } : {}),
      resolved: recipe,
      yaml,
      ...(used.length ? { plugins: used } : {}),
    },
    seeds: {
      calibration: recipe.calibration.seed,
      rounding: recipe.quantize.seed,
      ...(training ? { training: recipe.train?.seed ?? 0 } : {}),
    },
    model: { float, ...(done ? { quantized: quantizedFacts(done, files, macs) } : {}) },
    ...(calibration && done?.observer !== undefined
      ? { calibration: { ...calibration, observer: done.observer } }
      : {}),
    points: v.points,
    nodes: [...v.nodes.map((n) => withKernel(asRecorded(n), kernels)), ...v.inBodies],
    ...(v.graph ? { graph: v.graph } : {}),
    ...(v.mixed ? { mixed: v.mixed } : {}),
    ...(training ? { training } : {}),
    ...(done?.sparsity ? { sparsity: done.sparsity } : {}),
    ...(done?.lowRank ? { lowRank: lowRankFacts(done.lowRank) } : {}),
    ...(done?.transport ? { transport: done.transport } : {}),
    ...(done?.target ? { target: done.target } : {}),
    ...(done?.layout ? { layout: done.layout } : {}),
    ...measured,
    diagnostics: [...diagnostics, ...v.diagnostics],
    files,
  };
}

function lowRankFacts(terms: NonNullable<RefinedVariant['lowRank']>): LowRankFacts {
  const all = [...terms.values()];
  const sum = (of: (t: LowRankTerm) => number): number => all.reduce((n, t) => n + of(t), 0);
  const macs = sum((t) => t.narrow.length + t.wide.length);
  return {
    rank: Math.max(...all.map((t) => t.rank)),
    products: all.length,
    bytes: 4 * macs,
    bits:
      (32 * macs) /
      Math.max(
        1,
        sum((t) => t.rows * t.columns),
      ),
    macs,
  };
}

/** What was trained before anything was quantized, and the quantized model. */
const joined = (before: TrainingFacts, own: TrainingFacts): TrainingFacts => ({
  ...before,
  fitted: [...before.fitted, ...own.fitted],
  scores: [...before.scores, ...own.scores.filter((s) => !before.scores.some((b) => b.name === s.name))],
});

function quantizedFacts(
  { folder, written }: MeasuredVariant,
  files: RunRecord['files'],
  macs: number | undefined,
): RunRecord['model']['float'] {
  const { path: name, sha256 } = mainFile(files);
  return modelFacts(written, name, folder.bytes(), sha256, macs);
}

function withKernel(n: NodeFacts, kernels: readonly KernelOf[]): NodeFacts {
  const found = kernels.find((k) => k.name === n.name);
  return {
    ...n,
    ...(found?.kernel !== undefined ? { kernel: found.kernel } : {}),
    ...(found?.ranInteger !== undefined ? { ranInteger: found.ranInteger } : {}),
  };
}
