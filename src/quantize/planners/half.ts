/** Planning of float16: which nodes compute in it, and why the others stay in float32. */
import { largestOf } from '../../calibrate/largest.js';
import { dataOf } from '../../ir/known.js';
import type { Node, Value } from '../../ir/graph.js';
import type { Model } from '../../ir/model.js';
import { specOf } from '../../ops/index.js';
import type { QuantPoint, QuantSpec } from '../../scheme/types.js';
import { selectNodes, type NodeFilter } from '../filter.js';
import { smallNumbers } from '../half-small.js';
import { crashingTransposes } from '../half-transposes.js';
import { infiniteValues } from '../masks.js';
import type { Planned } from '../../scheme/quantized.js';

/** Largest float16. */
export const FLOAT16_MAX = 65504;
/** Ops whose results or operands depend on the type in other ways than by rounding, or that float16 makes useless. */
const KEPT: Readonly<Record<string, string>> = {
  Cast: 'converts types itself',
  CastLike: 'converts types itself',
  ConstantOfShape: 'has a type of its own',
  Range: 'counts, which float16 does only to 2048',
  CumSum: 'sums along an axis, which loses what is small',
  RandomNormal: 'has a type of its own',
  RandomUniform: 'has a type of its own',
  RandomNormalLike: 'has a type of its own',
  RandomUniformLike: 'has a type of its own',
  EyeLike: 'has a type of its own',
  Multinomial: 'draws',
  QuantizeLinear: 'is quantized',
  DequantizeLinear: 'is quantized',
  DynamicQuantizeLinear: 'is quantized',
  NonMaxSuppression: 'is defined for float32 only',
  Celu: 'is defined for float32 only',
  RoiAlign: 'has coordinates in float32',
  Bernoulli: 'draws',
  Optional: 'holds optionals',
};

const CRASHES = 'onnxruntime crashes on this order of axes in float16 before a product';

/**
 * Every node of the main graph that computes float32 from float32 becomes float16, but for those that the recipe
 * excludes, nodes with graphs inside, operators of other domains, those that have no float16 form (onnxruntime casts
 * around what its CPU has no float16 kernel of, so others load), nodes with constants beyond 65504, those to which
 * small numbers matter that float16
 * loses, and Transposes that onnxruntime crashes on. Activations are observed: those beyond the range stay float32 with
 * the nodes around them. Throws RECIPE_UNKNOWN_NAME for filters that name nothing.
 */
export function planHalf(
  model: Model,
  o: { readonly include: readonly NodeFilter[]; readonly exclude: readonly NodeFilter[] },
): Planned {
  const order = model.graph.topological();
  const compute = order.filter((n) => specOf(n)?.quant.role === 'compute');
  const included = o.include.length ? selectNodes(model.graph, o.include, compute) : undefined;
  const excluded = selectNodes(model.graph, o.exclude, compute);
  const inputs = new Set<Value>(model.graph.inputs);
  const plan = new Map<QuantPoint, QuantSpec>();
  const half = new Set<Node>();
  const small = smallNumbers(order, inputs);
  const infinite = infiniteValues(order, inputs);
  const crashing = crashingTransposes(order);
  const floatNodes = new Map<Node, string>();
  for (const n of order) {
    const floats = [...n.inputs, ...n.outputs].filter(
      (v): v is Value => v !== null && v.name !== '' && v.dtype === 'float32',
    );
    if (!floats.length) continue;
    const reason = excluded.has(n)
      ? `excluded by the recipe (${excluded.get(n)})`
      : included && compute.includes(n) && !included.has(n)
        ? 'not included by the recipe'
        : n.domain !== ''
          ? `${n.domain}.${n.op} may not take float16`
          : n.subgraphs().length
            ? 'control flow'
            : [...n.inputs, ...n.outputs].some((v) => v !== null && v.name !== '' && v.dtype === undefined)
              ? 'the type of one of its tensors is not known'
              : !n.inputs.some((v) => v?.dtype === 'float32')
                ? 'makes float32 whatever it reads'
                : (KEPT[n.op] ??
                  constantReason(n, inputs) ??
                  small.kept.get(n) ??
                  (crashing.has(n) ? CRASHES : undefined));
    if (reason !== undefined) {
      floatNodes.set(n, reason);
      continue;
    }
    half.add(n);
    for (const v of floats) {
      if (v.isInitializer || plan.has(v)) continue;
      plan.set(v, { kind: 'half', ...(infinite.has(v) ? { infinite: true } : {}) });
    }
  }
  for (const [n, because] of floatNodes)
    for (const y of n.outputs) if (y.name && y.dtype === 'float32') plan.set(y, { kind: 'float', because });
  for (const n of half) floatNodes.set(n, 'computes in float16');
  const none = { integerNodes: new Set<Node>(), fusedClamps: new Map<Node, Node>() };
  return { ...none, plan, weightOnlyNodes: half, floatNodes, nearZero: small.watched };
}

function constantReason(n: Node, inputs: ReadonlySet<Value>): string | undefined {
  for (const v of n.inputs) {
    if (!v?.isInitializer || v.dtype !== 'float32') continue;
    if (inputs.has(v)) return `callers may give '${v.name}'`;
    // an initializer has data
    const most = largestOf(dataOf(v)).finite;
    if (most > FLOAT16_MAX) return `'${v.name}' holds ${Number(most.toPrecision(4))}, beyond the range of float16`;
  }
  return undefined;
}
