/** Which layers may saturate on CPUs that add two uint8 × int8 products in 16 bits. Reads weights; runs nothing. */
import { named } from '../base/lists.js';
import type { Node } from '../ir/graph.js';
import { allGraphs, type Model } from '../ir/model.js';
import { uniqueLabels } from '../ir/labels.js';
import type { Planned } from '../scheme/quantized.js';
import { packedProducts, pairsOf } from '../quantize/unsaturated.js';
import type { Environment, RuntimeFacts } from '../record/index.js';
import { u8s8Saturates } from '../runtime/environment.js';
import { windowOf, type SaturatingLayer } from './saturation-effect.js';
import { weightCodes } from '../scheme/arithmetic.js';
import type { QuantParams, QuantPoint } from '../scheme/types.js';

export interface SaturationOptions {
  /** The float model that `planned` and `params` speak of, before the rewrite. */
  readonly model: Model;
  readonly planned: Planned;
  readonly params: ReadonlyMap<QuantPoint, QuantParams>;
  /** Of the machine that the numbers of the record come from. */
  readonly environment: Pick<Environment, 'arch' | 'cpuFeatures'>;
  /** Whether the target has only CPUs whose kernels are exact. */
  readonly promised?: boolean;
}
type Saturation = NonNullable<RuntimeFacts['saturation']>;

/**
 * Layers with uint8 activations and int8 weights in which two neighbouring weight codes of one sign add up to more than
 * 128: there the VPMADDUBSW instruction of x64 CPUs with AVX2 or AVX-512 but without VNNI, which adds
 * 255 · |w1| + 255 · |w2| in int16, can saturate. `worst` is the largest such sum of products ÷ 32767, `share` the
 * share of pairs that can. {@link packedProducts} says which kernels are of this kind and what is a neighbour.
 *
 * `here` where this machine's CPU is such a one, `elsewhere` where others are, `none` where no layer can saturate.
 * source:
 * https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#when-and-why-do-i-need-to-try-u8u8
 */
export function saturationRisk(o: SaturationOptions): Saturation {
  const names = uniqueLabels([...allGraphs(o.model.graph)].flatMap((g) => g.topological()));
  const layers = new Map<Node, Saturation['layers'][number]>();
  const products = packedProducts(o.planned);
  for (const { node, weight, point, packing } of products) {
    const params = o.params.get(point);
    if (!weight.data || params?.scheme.dtype !== 'int8') continue;
    const { widest, over, pairs } = pairsOf(weight.data, params, packing);
    const worst = (widest * 255) / 32767;
    const known = layers.get(node); // a recurrent cell has two weights
    if (over && !(known && known.worst >= worst))
      layers.set(node, { node: named(names, node), worst, share: over / pairs }); // every node of the graph has a name
  }
  const sorted = [...layers.values()].sort((a, b) => b.share - a.share);
  return {
    risk: !sorted.length ? 'none' : u8s8Saturates(o.environment) ? 'here' : 'elsewhere',
    promised: o.promised ?? false,
    products: new Set(products.map((p) => p.node)).size,
    layers: sorted,
  };
}

/** The layers of {@link saturationRisk} with what their results follow from, the largest sums first. */
export function saturatingLayers(o: Omit<SaturationOptions, 'environment'>): SaturatingLayer[] {
  const names = uniqueLabels([...allGraphs(o.model.graph)].flatMap((g) => g.topological()));
  return packedProducts(o.planned)
    .flatMap(({ node, weight, point, packing }) => {
      const params = o.params.get(point);
      const input = node.inputs[0];
      if (!weight.data || !params || !input || input.isInitializer) return [];
      const { widest, over } = pairsOf(weight.data, params, packing);
      if (!over) return [];
      return [
        {
          node: named(names, node),
          input: input.name,
          inputParams: o.params.get(node.use(0)!) ?? o.params.get(input), // every node has a name, every input a use
          codes: weightCodes(weight.data, params).f64(),
          weightZeroPoint: params.zeroPoint[0]!,
          packing,
          window: windowOf(node, weight.data.dims),
          widest,
        },
      ];
    })
    .sort((a, b) => b.widest - a.widest);
}
