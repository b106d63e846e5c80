/** Weights whose products may saturate in the kernels of a target, and codes for them that cannot. */
import { groupBy } from '../base/group.js';
import type { Node, Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { packedOrder, packingOf, rowStarts } from '../ops/packing.js';
import { linearView, specOf } from '../ops/index.js';
import { layoutOf, paramAt } from '../scheme/layout.js';
import { clipRange } from '../scheme/params.js';
import { dequantize, weightCodes } from '../scheme/arithmetic.js';
import { anyPairCodes, halvedCodes, pairSaturates, unsaturatedCodes, type Alike } from '../scheme/saturation.js';
import type { Packing, QuantParams, QuantPlan, QuantPoint, QuantScheme, QuantSpec } from '../scheme/types.js';
import type { TargetProfile } from '../scheme/profile.js';
import type { Packings, Planned } from '../scheme/quantized.js';

/** One integer product of 8-bit inputs with a constant int8 weight. */
export interface PackedProduct {
  readonly node: Node;
  readonly weight: Value;
  readonly point: QuantPoint;
  readonly packing: Packing;
}

/**
 * The products that run in kernels which add two of them in int16, on CPUs that do. Kernels of another runtime than
 * onnxruntime are `any`: signs of inputs say nothing of them.
 */
export function packedProducts(
  { plan, integerNodes }: Pick<Planned, 'plan' | 'integerNodes'>,
  kernels: 'onnxruntime' | 'any' = 'onnxruntime',
): PackedProduct[] {
  const found: PackedProduct[] = [];
  for (const node of integerNodes) {
    for (const [index, weight] of node.inputs.entries()) {
      const use = node.use(index);
      if (!weight?.data || !use) continue;
      const packing = packingOf(node, index, weight.data.dims, kernels);
      if (!packing || (kernels === 'onnxruntime' && !takesBytes(node, plan))) continue;
      const point: QuantPoint = plan.has(use) ? use : weight;
      const scheme = schemeOf(plan, point);
      if (scheme?.dtype === 'int8' && !inBlocks(scheme, weight.data.dims, packing))
        found.push({ node, weight, point, packing });
    }
  }
  return found;
}

/** Weights of several scales along a row have no integer kernel. */
function inBlocks({ granularity }: QuantScheme, dims: readonly number[], { groups, rows }: Packing): boolean {
  return granularity.kind === 'block' && layoutOf(dims, granularity).count !== groups * rows;
}

/** What of a plan is kept from saturating, and how. */
export const guardsOf = (
  planned: Pick<Planned, 'plan' | 'integerNodes'>,
  rule: 'safe' | 'reduce' | 'allow',
  { u8s8 }: Pick<TargetProfile, 'u8s8'>,
): Pick<Planned, 'packings' | 'narrowed'> =>
  rule === 'safe'
    ? { packings: packingsOf(planned) }
    : rule === 'reduce' && u8s8 === 'any-pairs'
      ? { narrowed: narrowedOf(planned) }
      : {};

export function packingsOf(planned: Pick<Planned, 'plan' | 'integerNodes'>): Packings {
  const packings = new Map<QuantPoint, Packing[]>();
  for (const { point, packing } of packedProducts(planned)) {
    const known = packings.get(point) ?? [];
    if (!known.some((p) => JSON.stringify(p) === JSON.stringify(packing))) known.push(packing);
    packings.set(point, known);
  }
  return packings;
}

/**
 * Whether the kernel gets inputs of uint8. Those of int8 become such when onnxruntime optimizes a model with Q/DQ pairs
 * (QDQS8ToU8Transformer); its integer operators alone take int8 exactly, which is not told apart here. Where nothing is
 * planned, the format quantizes inputs at run time, which ONNX does to uint8; ConvInteger takes its weight as the left
 * operand there, and that kernel widens first.
 */
function takesBytes(node: Node, plan: QuantPlan): boolean {
  const role = specOf(node)?.quant;
  const input = node.inputs[role?.role === 'compute' ? (role.activations[0] ?? 0) : 0];
  const scheme = input && (schemeOf(plan, node.use(node.inputs.indexOf(input))) ?? schemeOf(plan, input));
  return scheme ? /^u?int8$/.test(scheme.dtype) : linearView(node)?.kind !== 'window';
}

/** The scheme of a point, through those that it shares parameters with. */
export function schemeOf(plan: QuantPlan, point: QuantPoint | undefined): QuantScheme | undefined {
  let spec: QuantSpec | undefined = point && plan.get(point);
  for (let steps = 0; spec?.kind === 'shared' && steps < plan.size; steps++) spec = plan.get(spec.with);
  return spec?.kind === 'observed' || spec?.kind === 'fixed' ? spec.scheme : undefined;
}

/**
 * The parameters with `codes` for a weight of which some pair could saturate, in each way in which kernels take it; as
 * they are where none can. Channels that cannot saturate keep their scales and codes.
 */
export function unsaturatedParams({ data }: Value, params: QuantParams, packings: readonly Packing[]): QuantParams {
  if (!data || params.scheme.dtype !== 'int8' || (params.scheme.bits ?? 8) < 8) return params;
  return packings.reduce((now, packing) => guarded(data, now, packing), params);
}

function guarded(data: Tensor, params: QuantParams, packing: Packing): QuantParams {
  const columns = packing.positions * packing.channels;
  const [low, high] = clipRange(params.scheme);
  // Zero points of a whole weight stay alike, as convolutions want them: then all its scales go together.
  const together = params.zeroPoint.some((z) => z !== 0);
  const [scale, zeroPoint] = [params.scale.slice(), params.zeroPoint.slice()];
  const parts = [...partsOf(data, params, packing)].map(({ part, at, values }) => {
    const rows = {
      values,
      columns,
      scale: scale[part]!,
      zeroPoint: zeroPoint[part]!,
      low,
      high,
      alike: alikeOf(packing),
    }; // it is a part
    return { part, at, rows, chosen: unsaturatedCodes(rows) };
  });
  if (!parts.some((p) => p.chosen)) return params;
  const codes = Int8Array.from(weightCodes(data, params).f64());
  for (const { part, at, rows, chosen } of parts) {
    // Halving keeps a scale a power of two.
    const halved = together || (chosen && params.scheme.powerOfTwo) ? halvedCodes(rows) : undefined;
    const made = params.scheme.powerOfTwo ? halved : (chosen ?? halved);
    if (!made) continue;
    scale[part] = made.scale;
    zeroPoint[part] = made.zeroPoint;
    at.forEach((place, i) => {
      codes[place] = made.codes[i]!;
    }); // as many codes as places
  }
  return { ...params, scale, zeroPoint, codes: Tensor.codes('int8', codes, data.dims) };
}

/** Weights of 7 bits of integer products, and what makes an output of each. */
const narrowedOf = (planned: Pick<Planned, 'plan' | 'integerNodes'>): Map<QuantPoint, Packing> =>
  new Map(
    packedProducts(planned, 'any')
      .filter(({ point }) => schemeOf(planned.plan, point)?.bits === 7)
      .map(({ point, packing }) => [point, packing]),
  );

/**
 * The parameters with `codes` of 8 bits for a weight that 7 bits were planned for: no two of an output can saturate.
 * Inputs of convolutions are taken to be alike, those of products, which normalisations spread, are not; see ADR 10.
 * Those of weights whose codes were chosen, or are not rounded to the nearest, stay.
 */
export function anyPairParams({ data }: Value, params: QuantParams, packing: Packing): QuantParams {
  const { bits: _seven, ...scheme } = params.scheme;
  if (!data || params.codes || scheme.powerOfTwo || (scheme.rounding ?? 'half-even') !== 'half-even') return params;
  const [low, high] = clipRange(scheme);
  const [scale, zeroPoint] = [params.scale.slice(), params.zeroPoint.slice()];
  const codes = Int8Array.from(weightCodes(data, params).f64());
  const columns = packing.positions * packing.channels;
  for (const { part, at, values } of partsOf(data, params, packing)) {
    const rows = { values, columns, scale: scale[part]!, zeroPoint: zeroPoint[part]!, low, high }; // it is a part
    const made = anyPairCodes(packing.positionStride ? { ...rows, alike: alikeOf(packing) } : rows);
    scale[part] = made.scale;
    zeroPoint[part] = made.zeroPoint;
    at.forEach((place, i) => {
      codes[place] = made.codes[i]!;
    }); // as many codes as places
  }
  return { ...params, scheme, scale, zeroPoint, codes: Tensor.codes('int8', codes, data.dims) };
}

/**
 * How alike inputs are taken to be where nothing is known of them. Measured on the squared error of outputs: 1 and 0.5
 * were best or near it of 0 to 4 and 0 to 2 on convolutional models, and 0.5 on transformers; see ADR 10.
 */
const alikeOf = ({ channels, positions }: Packing): Alike => ({
  channels,
  withinChannel: positions > 1 ? 1 : 0,
  overall: 0.5,
});

interface Part {
  readonly part: number;
  /** Where its elements lie, row after row in the order of the kernel. */ readonly at: Int32Array;
  readonly values: Float64Array;
}

/** The rows that share each scale. A weight whose codes were chosen before is read through these. */
function* partsOf(data: Tensor, params: QuantParams, packing: Packing): Generator<Part> {
  const layout = layoutOf(data.dims, params.scheme.granularity);
  const order = packedOrder(packing);
  const values = params.codes ? dequantize(params.codes, params) : data.f32();
  const starts = groupBy([...rowStarts(packing)], (at) => paramAt(layout, at));
  for (const [part, rows] of starts) {
    const at = new Int32Array(rows.length * order.length);
    rows.forEach((start, r) =>
      order.forEach((offset, i) => {
        at[r * order.length + i] = start + offset;
      }),
    );
    yield { part, at, values: Float64Array.from(at, (i) => values[i]!) }; // places in the weight
  }
}

/**
 * Whether some pair of codes of a weight can saturate: the largest sum of two neighbours of one sign, and how many are
 * over the limit.
 */
export function pairsOf(
  data: Tensor,
  params: QuantParams,
  packing: Packing,
): { readonly widest: number; readonly over: number; readonly pairs: number } {
  const codes = weightCodes(data, params).f64();
  const order = packedOrder(packing);
  let [widest, over, pairs] = [0, 0, 0];
  for (const start of rowStarts(packing)) {
    for (let i = 0; i + 1 < order.length; i += 2) {
      const [a, b] = [codes[start + order[i]!]!, codes[start + order[i + 1]!]!]; // places in the weight
      pairs++;
      if (a * b <= 0) continue; // products of opposite signs take from each other, and one alone fits
      widest = Math.max(widest, Math.abs(a + b));
      if (pairSaturates(a, b)) over++;
    }
  }
  return { widest, over, pairs };
}
