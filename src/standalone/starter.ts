/** Which format suits a model, found by planning: what `quantize init` writes down. */
import { assertMoreThanTrees } from '../pipeline/nothing.js';
import { QuantError } from '../base/errors.js';
import type { Node, Value } from '../ir/graph.js';
import { allGraphs, type Model } from '../ir/model.js';
import { isDecoder } from '../data/language/roles.js';
import { inputInfo } from '../pipeline/inputs.js';
import { specOf } from '../ops/index.js';
import { isCellOrAttention, isConvolution, isMatMul, isSoftmax } from '../ops/kinds.js';
import { cloneModel } from '../ir/clone.js';
import { SPECTRUM } from '../quantize/spectrum.js';
import { resolveRecipe } from '../recipe/load.js';
import { optimizeModel, planModel } from '../pipeline/prepare.js';
import { macsOf } from '../facts/model.js';

export interface Suited {
  readonly format: 'qdq' | 'dynamic' | 'coded' | 'float16' | 'weight-only';
  /** Why, in a line. */
  readonly because: string;
}

/** Samples of a waveform: fewer are features. */
const WAVEFORM = 1000;

/** Whether a model takes sound: one long axis of samples beside batch and channels, which no image has. */
export const isAudio = (inputs: readonly Value[]): boolean =>
  inputs.some((v) => {
    const sizes = (v.shape ?? []).map((d) => (typeof d === 'number' ? d : 1));
    const long = Math.max(...sizes);
    const rest = sizes.filter((d) => d !== long);
    const fits = (sizes.length === 2 || sizes.length === 3) && rest.length === sizes.length - 1;
    return v.dtype === 'float32' && fits && long >= WAVEFORM && rest.every((d) => d <= 8);
  });

/**
 * The first format of those that suit which has something to quantize in the model, from `file`. Convolutions take
 * static int8; transformers, recurrent nets and other products take ranges at run time. What takes sound and would stay
 * float for the most part, as behind spectra, takes what needs no ranges. Throws QUANTIZE_NOTHING where
 * no format has anything to do, MODEL_QUANTIZED, and what cleaning throws.
 */
export async function suitedFormat(model: Model, file: string): Promise<Suited> {
  assertMoreThanTrees(model);
  const { model: cleaned } = cloneModel(model);
  const { recipe } = await resolveRecipe({ version: 1, model: file, quantize: { format: 'dynamic' } });
  await optimizeModel(cleaned, file, recipe.optimize, () => undefined);
  const language = isDecoder(inputInfo(model), model.graph.outputs);
  const order = language
    ? [
        { format: 'weight-only', because: 'it continues text, which 4-bit weights keep best' } as const,
        ...preferred(cleaned),
      ]
    : preferred(cleaned);
  let refused: QuantError | undefined;
  for (const found of order) {
    const planned = await resolveRecipe({
      version: 1,
      model: file,
      quantize: { format: found.format },
      calibration: { data: { npy: 'any.npy' } },
    });
    try {
      const tried = cloneModel(cleaned).model;
      const plan = planModel(tried, planned.recipe, () => undefined).planned;
      if (
        found.format !== 'qdq' ||
        !(isAudio(cleaned.graph.inputs) || [...plan.floatNodes.values()].includes(SPECTRUM))
      )
        return found;
      const share = shareOf(tried, (n) => plan.integerNodes.has(n));
      return share >= MOSTLY ? found : behindSpectrum(cleaned, `${(100 * share).toFixed(0)} % of the work`);
    } catch (error) {
      if (!(error instanceof QuantError)) throw error;
      if (found.format === 'qdq' && error.code === 'QUANTIZE_NOTHING' && isAudio(cleaned.graph.inputs))
        return behindSpectrum(cleaned, 'nothing');
      refused ??= error;
    }
  }
  throw refused ?? new QuantError('QUANTIZE_NOTHING', 'nothing in the model can be quantized');
}

/** Less than this share of the work in integers is not worth ranges. */
const MOSTLY = 0.5;

const computeNodes = (model: Model): Node[] =>
  [...allGraphs(model.graph)].flatMap((g) => [...g.nodes].filter((n) => specOf(n)?.quant.role === 'compute'));

/** Share of multiply-accumulates, or of layers where sizes do not tell them. */
function shareOf(model: Model, test: (n: Node) => boolean): number {
  const work = computeNodes(model).map((n) => [n, macsOf(n)] as const);
  const of = (some: typeof work, all: typeof work): number => {
    const sum = (list: typeof work): number => list.reduce((m, [, macs]) => m + macs, 0);
    return sum(all) > 0 ? sum(some) / sum(all) : some.length / Math.max(1, all.length);
  };
  return of(
    work.filter(([n]) => test(n)),
    work,
  );
}

/** What suits sound where static int8 would leave most of the work float. */
const behindSpectrum = (model: Model, done: string): Suited => ({
  format: shareOf(model, (n) => !isConvolution(n)) >= MOSTLY ? 'dynamic' : 'float16',
  because: `it takes sound, and static int8 would run ${done} in integers`,
});

function preferred(model: Model): Suited[] {
  const nodes = [...allGraphs(model.graph)].flatMap((g) => [...g.nodes]);
  const sum = (test: (n: Node) => boolean): number =>
    nodes.reduce((n, x) => n + (specOf(x)?.quant.role === 'compute' && test(x) ? macsOf(x) : 0), 0);
  const [convolutions, products] = [sum(isConvolution), sum((n) => !isConvolution(n))];
  // Ranges of their activations are found at run time.
  const cells = [...new Set(nodes.filter((n) => isCellOrAttention(n)).map((n) => n.op))];
  const softmax = nodes.some(
    (n) => isSoftmax(n) && n.outputs[0]?.uses.size && [...n.outputs[0].uses].some((u) => isMatMul(u.node)),
  );
  const dynamic: Suited = {
    format: 'dynamic',
    because: cells.length
      ? `it has ${cells.join(', ')}`
      : softmax
        ? 'it is a transformer'
        : 'matrix products are most of the work',
  };
  const qdq: Suited = { format: 'qdq', because: 'convolutions are most of the work' };
  const coded: Suited = {
    format: 'coded',
    because: 'no integer kernel has anything to do here: the weights are only stored in fewer bits',
  };
  return cells.length || softmax || products >= convolutions
    ? [dynamic, { ...qdq, because: dynamic.because }, coded]
    : [qdq, dynamic, coded];
}
