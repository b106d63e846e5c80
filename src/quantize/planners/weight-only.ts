/** Planning of weights that are stored as codes and computed with in float: the activations stay as they are. */
import { dataOf } from '../../ir/known.js';
import { filled } from '../../base/lists.js';
import type { Node, Value } from '../../ir/graph.js';
import { allGraphs, type Model } from '../../ir/model.js';
import { dtypeBits } from '../../ir/dtype.js';
import { linearView, specOf } from '../../ops/index.js';
import { blockedForm, GATHER_BLOCK_QUANTIZED, MAT_MUL_N_BITS } from '../../formats/weight-only.js';
import { isNarrow, NARROW_CODES_OPSET } from '../../formats/narrow-codes.js';
import type { WeightOnlyForm } from '../../scheme/quantized.js';
import type { QuantPlan, QuantPoint, QuantScheme, QuantSpec } from '../../scheme/types.js';
import { selectNodes } from '../filter.js';
import { headsOf, tiedWeights } from '../heads.js';
import { merged, overridesOf } from '../overrides.js';
import type { PlanOptions } from './static.js';
import type { Planned } from '../../scheme/quantized.js';
import { keptBecause } from '../stored-weight.js';

export interface WeightOnlyOptions extends Pick<PlanOptions, 'weights' | 'include' | 'exclude' | 'target' | 'layers'> {
  /** Whether embedding tables are quantized, and in which type where it is not that of the other weights. */
  readonly embeddings: boolean | QuantScheme['dtype'];
  /** The same of the heads of language models. */
  readonly head: boolean | QuantScheme['dtype'];
  /** Only operators of the ONNX standard, even where the target has its own. */
  readonly standardOps: boolean;
  /** MatMulNBits: 0 leaves the choice to the runtime, 1 float32, 4 int8 inputs. */
  readonly accuracyLevel: number;
}

/** Tables with fewer elements than this are not worth the extra nodes. */
const SMALL_TABLE = 4096;

/**
 * Weights of products, convolutions and embedding tables, in bodies too: float32 constants.
 * Blocks run along what one output sums over: the rows of a MatMul weight, the input channels of a convolution (one
 * scale for each output channel where there are fewer of them than a block has), the columns of a table.
 * Throws RECIPE_UNKNOWN_NAME for filters that name nothing.
 */
export function planWeightOnly(model: Model, o: WeightOnlyOptions): Planned & { readonly weightOnly: WeightOnlyForm } {
  const graphs = [...allGraphs(model.graph)];
  const order = graphs.flatMap((g) => g.topological());
  const everything = { topological: () => order };
  const compute = order.filter((n) => specOf(n)?.quant.role === 'compute');
  const included = o.include.length ? selectNodes(everything, o.include, order) : undefined;
  const excluded = selectNodes(everything, o.exclude, compute);
  const layers = overridesOf(everything, o.layers ?? [], compute);
  const inputs = new Set<Value>(graphs.flatMap((g) => g.inputs));
  const plan = new Map<QuantPoint, QuantSpec>();
  const weightOnlyNodes = new Set<Node>();
  const floatNodes = new Map<Node, string>();
  const own = (op: string): boolean => !o.standardOps && o.target.ownOps.some((x) => x.op === op);
  const weightOnly = {
    matMulNBits: own(MAT_MUL_N_BITS),
    gatherBlockQuantized: own(GATHER_BLOCK_QUANTIZED),
    accuracyLevel: o.accuracyLevel,
  };
  const heads = headsOf(order);
  const tables = new Set(heads.values());
  for (const n of order) {
    const index = weightIndex(n);
    const w = index === undefined ? undefined : n.inputs[index];
    if (index === undefined || !w) continue;
    const table = linearView(n)?.kind === 'lookup';
    if (table && (!o.embeddings || !w.isInitializer || w.data?.dtype !== 'float32' || w.data.size < SMALL_TABLE))
      continue;
    const head = heads.has(n);
    const reason =
      head && !o.head && !layers.has(n)
        ? 'quantize.embeddings keeps the head in float'
        : keptBecause(n, w, { inputs, included, excluded });
    if (reason !== undefined) {
      floatNodes.set(n, reason);
      continue;
    }
    const weights = merged(
      o.weights,
      (layers.get(n) ?? []).map((i) => o.layers?.[i]?.weights),
    );
    const chosen = layers.has(n) ? undefined : head ? o.head : table ? o.embeddings : undefined;
    const language = head || tables.has(w);
    const scheme = schemeOf(n, dataOf(w).dims, table, {
      weights,
      dtype: typeof chosen === 'string' ? chosen : chosen && language ? inBytes(weights) : undefined,
    });
    const spec: QuantSpec = {
      kind: 'observed',
      scheme: takesNegativeScales(n, scheme, weightOnly) ? { ...scheme, signedScale: true } : scheme,
      observer: weights.observer,
      ...(weights.observerOptions === undefined ? {} : { observerOptions: weights.observerOptions }),
    }; // what is not kept is constant
    const known = plan.get(w);
    if (known && JSON.stringify(known) !== JSON.stringify(spec))
      plan.set(n.use(index)!, spec); // the weight is an input, so it has a use
    else plan.set(w, spec);
    weightOnlyNodes.add(n);
    floatNodes.set(n, `computes in float from ${spec.scheme.bits ?? dtypeBits(spec.scheme.dtype)}-bit weights`);
  }
  const tied = new Map([...tiedWeights(heads)].filter(([w, table]) => storedAlike(plan.get(w), plan.get(table))));
  return { plan, tied, integerNodes: new Set(), weightOnlyNodes, fusedClamps: new Map(), floatNodes, weightOnly };
}

/** The nodes whose weights are written before a DequantizeLinear. */
export function dequantizedNodes({ plan, weightOnlyNodes, weightOnly }: Planned): Node[] {
  return weightOnly
    ? [...weightOnlyNodes].filter((n) => {
        const scheme = schemeAt(plan, n);
        return scheme && !blockedForm(n, scheme, weightOnly);
      })
    : [];
}
function schemeAt(plan: QuantPlan, n: Node): QuantScheme | undefined {
  const index = weightIndex(n)!; // planned nodes have a weight
  const spec = plan.get(n.use(index)!) ?? plan.get(filled(n.inputs, index)); // one of both is planned
  return spec?.kind === 'observed' ? spec.scheme : undefined;
}

/** Lowest opset of the standard domain that has the operators and types that the plan will be written with. */
export function weightOnlyOpset(planned: Planned): number {
  const dequantized = new Set(dequantizedNodes(planned));
  return Math.max(
    7,
    ...[...planned.weightOnlyNodes].map((n) => {
      const scheme = schemeAt(planned.plan, n)!; // planned nodes have one
      const { dtype, granularity, bits } = scheme;
      if (!dequantized.has(n)) return bits !== undefined && bits < dtypeBits(dtype) ? NARROW_CODES_OPSET : 7;
      return /2$/.test(dtype)
        ? 25
        : granularity.kind === 'block' || !/^u?int8$/.test(dtype)
          ? 21
          : isNarrow(scheme)
            ? NARROW_CODES_OPSET
            : 13;
    }),
  );
}

/**
 * MatMulNBits and GatherBlockQuantized multiply by whatever scale there is; DequantizeLinear of other runtimes may not.
 * Above 4 bits the one level more is worth nothing.
 */
const takesNegativeScales = (n: Node, scheme: QuantScheme, form: WeightOnlyForm): boolean =>
  scheme.symmetric &&
  scheme.narrow !== true &&
  scheme.powerOfTwo !== true &&
  (scheme.bits ?? dtypeBits(scheme.dtype)) <= 4 &&
  blockedForm(n, scheme, form) !== undefined;

/**
 * What a language model looks up and what its last product gives decide between thousands of tokens, so that they keep
 * 8 bits; undefined where the other weights have no fewer.
 */
const inBytes = ({ dtype, bits }: WeightOnlyOptions['weights']): QuantScheme['dtype'] | undefined =>
  (bits ?? dtypeBits(dtype)) < 8 ? (dtype.startsWith('u') ? 'uint8' : 'int8') : undefined;

/** Whether two weights with the same numbers are stored as the same bytes: both as floats, or in the same blocks. */
function storedAlike(a: QuantSpec | undefined, b: QuantSpec | undefined): boolean {
  const key = (s: QuantSpec | undefined): string | undefined => {
    if (s?.kind !== 'observed') return s?.kind ?? 'float';
    const { granularity, ...scheme } = s.scheme;
    return granularity.kind === 'block'
      ? JSON.stringify([s.observer, s.observerOptions, granularity.size, Object.entries(scheme).sort()])
      : undefined;
  };
  return key(a) !== undefined && key(a) === key(b);
}

/** The input that is a weight or a table; undefined for other nodes. */
function weightIndex(n: Node): number | undefined {
  const view = linearView(n);
  if (view?.kind === 'lookup') return view.weight;
  const role = specOf(n)?.quant;
  return role?.role === 'compute' && (n.inputs[role.weight]?.shape?.length ?? 0) >= 2 ? role.weight : undefined;
}

function schemeOf(
  n: Node,
  dims: readonly number[],
  table: boolean,
  { weights, dtype }: Pick<WeightOnlyOptions, 'weights'> & { readonly dtype: QuantScheme['dtype'] | undefined },
): QuantScheme {
  const { observer: _observer, granularity, ...rest } = weights;
  const { bits: _bits, ...whole } = rest;
  const base = dtype === undefined ? rest : { ...whole, dtype };
  if (granularity === 'tensor') return { ...base, granularity: { kind: 'tensor' } };
  const { scaleAxis: channels, blockAxis: summed } = linearView(n)!; // weights and tables are seen so
  if (granularity === 'channel') return { ...base, granularity: { kind: 'axis', axis: channels } };
  const short = dims.length > 2 && !table && dims[summed]! < granularity.block; // a weight has these axes
  return {
    ...base,
    granularity: short ? { kind: 'axis', axis: channels } : { kind: 'block', axis: summed, size: granularity.block },
  };
}
