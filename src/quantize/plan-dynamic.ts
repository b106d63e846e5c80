import { type Model, type Node, type Value } from '../ir/graph.js';
import { specOf } from '../ops/index.js';
import type { QuantPoint, QuantScheme, QuantSpec } from '../scheme/types.js';
import { selectNodes, type NodeFilter } from './filter.js';
import { merged, overridesOf, type WeightSettings } from './overrides.js';
import type { Planned, PlanOptions } from './plan.js';

export interface DynamicOptions extends Pick<PlanOptions, 'weights' | 'include' | 'exclude' | 'layers'> {
  /** ConvInteger too: slower than float on CPUs, so only on request. */
  readonly conv: boolean;
  /** Products that compute in float from weights stored in integers. */
  readonly weightOnly: readonly NodeFilter[];
  /** Embedding tables (Gather from a constant matrix) in int8, one scale a row. */
  readonly embeddings: boolean;
}

/** Tables with fewer elements than this are not worth the extra nodes. */
const SMALL_TABLE = 4096;

/** Plans dynamic quantization: matrix products with constant weights, embedding tables and, on request, convolutions. */
export function planDynamic(model: Model, o: DynamicOptions): Planned {
  const order = model.graph.topological();
  const compute = order.filter((n) => specOf(n)?.quant.role === 'compute');
  const included = o.include.length ? selectNodes(model.graph, o.include, compute) : undefined;
  const excluded = selectNodes(model.graph, o.exclude, compute);
  const weightOnly = selectNodes(model.graph, o.weightOnly, compute);
  const weightOnlyNodes = new Set<Node>();
  const inputs = new Set<Value>(model.graph.inputs);
  const plan = new Map<QuantPoint, QuantSpec>();
  const integerNodes = new Set<Node>();
  const floatNodes = new Map<Node, string>();
  const layers = overridesOf(model.graph, o.layers ?? [], compute);
  for (const n of order) {
    const settings = merged(o.weights, (layers.get(n) ?? []).map((i) => o.layers?.[i]?.weights));
    const found = weightOf(n, o, settings);
    if (found === undefined) continue;
    const reason = typeof found === 'string' ? found
      : excluded.has(n) ? `excluded by the recipe (${excluded.get(n)})`
      : included && !included.has(n) ? 'not included by the recipe'
      : inputs.has(found.value) ? 'its weight is a graph input' : undefined;
    if (reason !== undefined || typeof found === 'string') { floatNodes.set(n, reason ?? ''); continue; }
    const spec: QuantSpec = { kind: 'observed', scheme: found.scheme, observer: settings.observer, ...(settings.observerOptions === undefined ? {} : { observerOptions: settings.observerOptions }) };
    const known = plan.get(found.value);
    if (known && JSON.stringify(known) !== JSON.stringify(spec)) plan.set(n.use(found.index)!, spec); // the weight is an input, so it has a use
    else plan.set(found.value, spec);
    if (weightOnly.has(n) && found.index !== 0) { weightOnlyNodes.add(n); floatNodes.set(n, `only its weights are quantized (${weightOnly.get(n)})`); } else integerNodes.add(n);
  }
  for (const [n, because] of floatNodes) if (!weightOnlyNodes.has(n)) for (const y of n.outputs) if (y.name) plan.set(y, { kind: 'float', because });
  return { plan, integerNodes, weightOnlyNodes, fusedClamps: new Map(), floatNodes };
}

/** The weight to quantize, a reason to leave a product alone, or undefined for nodes that have nothing to do with it. */
function weightOf(n: Node, o: DynamicOptions, settings: WeightSettings): { value: Value; index: number; scheme: QuantScheme } | string | undefined {
  const { observer: _observer, observerOptions: _options, granularity, ...rest } = settings;
  const table = n.op === 'Gather' && n.domain === '' ? n.inputs[0] : undefined;
  if (table) {
    if (!o.embeddings || !table.isInitializer || table.dtype !== 'float32' || n.int('axis', 0) !== 0 || (table.data?.dims.length ?? 0) < 2 || (table.data?.size ?? 0) < SMALL_TABLE) return undefined;
    return { value: table, index: 0, scheme: { ...rest, granularity: granularity === 'tensor' ? { kind: 'tensor' } : { kind: 'axis', axis: 0 } } };
  }
  const role = specOf(n)?.quant;
  if (role?.role !== 'compute') return undefined;
  const w = n.inputs[role.weight];
  if (!w?.isInitializer) return 'its weight is not a constant';
  if (w.dtype !== 'float32') return `its weight is ${w.dtype ?? 'of unknown type'}, not float32`;
  if (n.op === 'Conv' && !o.conv) return 'ConvInteger is slower than float; set quantize.dynamicConv: true to force it';
  if (n.op === 'ConvTranspose') return 'there is no integer transposed convolution';
  const axis = role.channelAxis(n, w.data?.dims.length ?? 0);
  if (typeof axis !== 'number') return axis.float;
  const perChannel = granularity !== 'tensor' && (w.data?.dims.length === 2 || n.op === 'Conv');
  if (!['int8', 'uint8'].includes(rest.dtype)) return `there is no integer product of ${rest.dtype} weights`;
  return { value: w, index: role.weight, scheme: { ...rest, granularity: perChannel ? { kind: 'axis', axis } : { kind: 'tensor' } } };
}
