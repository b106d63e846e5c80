/** Channels of decoders that what makes a tensor directly can scale: factors of a norm, one side of a gated product. */
import { dataOf } from '../../ir/known.js';
import type { Node, Value } from '../../ir/graph.js';
import { linearView } from '../../ops/index.js';
import { isMultiplication, normalization, readsNoData } from '../../ops/kinds.js';
import type { ChannelSet, Slab } from '../../channels/groups.js';

type Own = (v: Value | null | undefined) => v is Value;

/**
 * A set for each channel of the last axis of a tensor that `layers` alone read, with what of their weights reads it.
 * Undefined where what makes it has no constants of its own for each channel: y = norm(x)·γ + β, y = x·γ, and y = a·b
 * with b = W·z, as gated layers have it, where W takes the factors.
 */
export function directSets(
  value: Value,
  layers: readonly Node[],
  slabs: readonly (readonly Slab[])[],
  own: Own,
): ChannelSet[] | undefined {
  const maker = value.producer;
  if (!maker || value.isGraphOutput) return undefined;
  const known = new Set(layers);
  for (const { node, index } of value.uses)
    if (!readsNoData(node) && !(known.has(node) && index === linearView(node)?.data)) return undefined;
  const made = factorsOf(maker, slabs.length, own);
  const axis = (value.shape?.length ?? 0) - 1;
  return (
    made && slabs.map((consumers, channel) => ({ ...made(channel), consumers, places: [{ value, axis, channel }] }))
  );
}

type Makers = (channel: number) => Pick<ChannelSet, 'producers' | 'biases'>;
function factorsOf(n: Node, size: number, own: Own): Makers | undefined {
  const vector = (v: Value | null | undefined): v is Value => own(v) && v.data?.size === size;
  const parts = normalization(n);
  if (parts) {
    const [gamma, beta] = [n.inputs[parts.scale], n.inputs[parts.bias]];
    if (!vector(gamma) || (beta && !vector(beta))) return undefined;
    return (c) => ({ producers: [element(gamma, n, c)], biases: beta ? [element(beta, n, c)] : [] });
  }
  if (!isMultiplication(n)) return undefined;
  const constant = n.inputs.find((v) => v?.isInitializer);
  if (constant)
    return vector(constant) && constant.data?.dims.at(-1) === size
      ? (c) => ({ producers: [element(constant, n, c)], biases: [] })
      : undefined;
  for (const v of n.inputs) {
    const made =
      v && v.uses.size === 1 && !v.isGraphOutput && v.shape?.at(-1) === size ? productOf(v, size, own) : undefined;
    if (made) return made;
  }
  return undefined;
}

/** The rows of the weight that makes a tensor, and what it adds. */
function productOf({ producer: n }: Value, size: number, own: Own): Makers | undefined {
  const view = n && linearView(n);
  if (!n || view?.kind !== 'product' || view.resultAxis !== -1 || view.batchAxes > 0) return undefined;
  const weight = n.inputs[view.weight];
  const bias = view.bias === undefined ? undefined : n.inputs[view.bias];
  if (!own(weight) || dataOf(weight).dims[view.outputAxis] !== size) return undefined;
  if (bias && !(own(bias) && bias.data?.size === size)) return undefined;
  const { dims } = dataOf(weight);
  const inner = dims.slice(view.outputAxis + 1).reduce((k, d) => k * d, 1);
  const outer = dims.slice(0, view.outputAxis).reduce((k, d) => k * d, 1);
  return (c) => ({
    producers: [{ constant: weight, node: n, start: c * inner, outer, stride: size * inner, inner }],
    biases: bias ? [element(bias, n, c)] : [],
  });
}

const element = (constant: Value, node: Node, start: number): Slab => ({
  ...{ constant, node, start },
  ...{ outer: 1, stride: 1, inner: 1 },
});
