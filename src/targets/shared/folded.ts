/** A copy of a graph whose sizes are known, without the shape arithmetic that becomes constant then. */
import { eliminateDead } from '../../passes/eliminate-dead.js';
import { extractConstants } from '../../passes/extract-constants.js';
import { foldConstants } from '../../passes/fold-constants.js';
import { foldShapes } from '../../passes/fold-shapes.js';
import { runPasses } from '../../rewrite/pass.js';
import { evaluateModel } from '../../runtime/open.js';
import type { QuantizedGraph } from '../../scheme/quantized.js';
import { sizedCopy, type SizedCopy, type Sizes } from './layers.js';

/** Operators that need no kernel, since they are constant once sizes are known. */
export const FOLDED: ReadonlySet<string> = new Set(['Constant', 'Shape', 'Size', 'ConstantOfShape', 'Range']);

/**
 * Of `opset` at least. Where `sizes` are any, what is computed from shapes stays nodes: only what follows from
 * constants becomes one. Throws what {@link sizedCopy} throws.
 */
export async function foldedCopy(
  graph: QuantizedGraph,
  example: Sizes,
  { sizes, opset }: { readonly sizes: 'fixed' | 'any'; readonly opset?: number } = { sizes: 'fixed' },
): Promise<SizedCopy> {
  const copy = sizedCopy(graph, example, opset);
  const passes = [extractConstants, ...(sizes === 'fixed' ? [foldShapes] : []), foldConstants, eliminateDead];
  await runPasses(copy.model, passes, { evaluate: evaluateModel });
  return copy;
}
