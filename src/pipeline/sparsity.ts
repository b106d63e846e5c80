/** What records say of weights that are zero, and whether what `compress` made zero is so in the end. */
import type { Diagnostic } from '../base/errors.js';
import { sparsityOf } from '../compress/sparsity/count.js';
import type { Model } from '../ir/model.js';
import type { RunRecord } from '../record/index.js';
import type { SparsityFacts } from '../record/sparsity.js';

/** Layers of which less is zero have it by chance. */
const LEAST_SPARSE = 0.1;
/** What may be lost of the share of zeros before it is told of: layers that are fused count otherwise. */
const LOST = 0.01;

/** Which weights are zero, where a layer has so many that somebody meant it. */
export function sparsityFacts(model: Model): { sparsity?: SparsityFacts } {
  const all = sparsityOf(model);
  const layers = all.filter((l) => l.zeros >= LEAST_SPARSE * l.weights);
  if (!layers.length) return {};
  const sum = (key: 'zeros' | 'weights'): number => all.reduce((n, l) => n + l[key], 0);
  return { sparsity: { zeros: sum('zeros'), weights: sum('weights'), layers } };
}

/** What a sparse model is told of: that it gains no time, and where zeros were lost on the way. */
export function sparsityFindings({ compression, sparsity }: Pick<RunRecord, 'compression' | 'sparsity'>): Diagnostic[] {
  const made = compression?.states.at(-1)?.sparsity;
  if (!made) return [];
  const share = (s: { readonly zeros: number; readonly weights: number } | undefined): number =>
    s ? s.zeros / Math.max(1, s.weights) : 0;
  const percent = (x: number): string => `${(100 * x).toFixed(1)} %`;
  const [before, after] = [share(made), share(sparsity)];
  const note: Diagnostic = {
    severity: 'note',
    code: 'SPARSE_NOT_FASTER',
    message:
      `${percent(after)} of the weights are zero, and onnxruntime computes zeros like other numbers: this makes the ` +
      'model no faster, and its file smaller only by how weights are stored',
    hint: 'the step prune of compress takes whole channels out, which is faster',
  };
  if (after >= before - LOST) return [note];
  const lost: Diagnostic = {
    severity: 'warning',
    code: 'SPARSITY_LOST',
    message: `compress made ${percent(before)} of the weights zero, of which ${percent(after)} are left`,
    hint: 'adjust: rotate mixes channels, and codings without a level for zero have none: leave them out',
  };
  return [lost, note];
}
