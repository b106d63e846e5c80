/** Which layers may saturate on CPUs that add two uint8 × int8 products in 16 bits. Reads weights; runs nothing. */
import type { Model, Node, Value } from '../ir/graph.js';
import { uniqueLabels } from '../ir/labels.js';
import { specOf } from '../ops/index.js';
import type { Planned } from '../quantize/plan.js';
import type { Environment, RuntimeFacts } from '../record/index.js';
import { u8s8Saturates } from '../runtime/environment.js';
import { quantize } from '../scheme/arithmetic.js';
import type { QuantParams, QuantPoint } from '../scheme/types.js';

export interface SaturationOptions {
  /** The float model that `planned` and `params` speak of, before the rewrite. */
  readonly model: Model;
  readonly planned: Planned;
  readonly params: ReadonlyMap<QuantPoint, QuantParams>;
  /** Of the machine that the numbers of the record come from. */
  readonly environment: Pick<Environment, 'arch' | 'cpuFeatures'>;
}
type Saturation = NonNullable<RuntimeFacts['saturation']>;

/** The largest value of an int16 accumulator ÷ the largest uint8 code. */
const LIMIT = 32767 / 255;

/**
 * Layers with uint8 activations and int8 weights in which two adjacent weight codes of one sign add up to more than
 * 32767 / 255 = 128.5: there the VPMADDUBSW instruction of x64 CPUs with AVX2 or AVX-512 but without VNNI, which adds
 * 255 · |w1| + 255 · |w2| in int16, can saturate. `worst` is the largest such sum of products ÷ 32767. Codes of opposite
 * signs cannot saturate, and neither can 7-bit weights, onnxruntime's `reduce_range`.
 *
 * Pairs lie along the reduction axis as the kernels pack them, two by two from its start: rows of a matrix; for
 * convolutions the input channels of one kernel position after the other (weights go to [kernel, channels, outputs]).
 * Depthwise convolutions have a kernel of their own that widens first, so they are left out; so are products of two
 * activations, whose codes are not known.
 *
 * `here` where this machine's CPU is such a one, `elsewhere` where others are, `none` where no layer can saturate.
 * source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#when-and-why-do-i-need-to-try-u8u8;
 * onnxruntime/core/mlas/lib/qgemm_kernel_avx2.cpp, qdwconv_avx2.cpp; onnxruntime/core/providers/cpu/quantization/qlinearconv.cpp
 */
export function saturationRisk(o: SaturationOptions): Saturation {
  const names = uniqueLabels(o.model.graph.topological());
  const layers: Saturation['layers'][number][] = [];
  for (const n of o.model.graph.topological()) {
    if (!o.planned.integerNodes.has(n)) continue;
    const found = pairsOf(n, o);
    if (found && found.worst > 1) layers.push({ node: names.get(n)!, ...found }); // every node of the graph has a name
  }
  layers.sort((a, b) => b.share - a.share);
  return { risk: !layers.length ? 'none' : u8s8Saturates(o.environment) ? 'here' : 'elsewhere', layers };
}

/** Undefined where the layer is no uint8 × int8 product with a constant weight. */
function pairsOf(n: Node, o: SaturationOptions): { worst: number; share: number } | undefined {
  const role = specOf(n)?.quant;
  if (role?.role !== 'compute') return undefined;
  const w = n.inputs[role.weight];
  if (!w?.data || w.data.dims.length < 2 || !takesUint8(n.inputs[role.activations[0] ?? 0], o)) return undefined;
  const use = n.use(role.weight);
  const p = (use && o.params.get(use)) ?? o.params.get(w);
  const axis = role.channelAxis(n, w.data.dims.length);
  if (p?.scheme.dtype !== 'int8' || p.scheme.granularity.kind === 'block' || typeof axis !== 'number') return undefined;
  const { dims } = w.data;
  const spatial = dims.length > 2 ? dims.slice(2).reduce((a, b) => a * b, 1) : 1;
  const [outputs, channels] = axis === 0 ? [dims[0]!, dims[1]!] : [dims[1]!, dims[0]!]; // two axes or more
  if (dims.length > 2 && channels === 1 && n.int('group', 1) > 1) return undefined; // depthwise
  // Element (output, channel, position) of the weight, whichever axis holds the outputs.
  const [outputStride, channelStride] = axis === 0 ? [channels * spatial, spatial] : [spatial, outputs * spatial];
  const codes = quantize(w.data.f32(), dims, p).f64();
  let worst = 0;
  let over = 0;
  let pairs = 0;
  const length = spatial * channels;
  for (let m = 0; m < outputs; m++) {
    const base = m * outputStride;
    for (let k = 0; k + 1 < length; k += 2) {
      const a = codes[base + (k % channels) * channelStride + Math.floor(k / channels)]!;
      const b = codes[base + ((k + 1) % channels) * channelStride + Math.floor((k + 1) / channels)]!;
      pairs++;
      if (a * b <= 0) continue; // products of opposite signs take from each other, and one alone fits
      const sum = Math.abs(a + b);
      if (sum > worst) worst = sum;
      if (sum > LIMIT) over++;
    }
  }
  return { worst: worst / LIMIT, share: pairs ? over / pairs : 0 };
}

/** As planned; where nothing is planned the format quantizes at run time, which ONNX does to uint8. */
function takesUint8(activation: Value | null | undefined, o: SaturationOptions): boolean {
  const p = activation ? o.params.get(activation) : undefined;
  return p ? p.scheme.dtype === 'uint8' : activation !== null && activation !== undefined;
}
