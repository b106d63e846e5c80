import { dataOf } from '../../ir/known.js';
import { item } from '../../base/lists.js';
import type { Node, Value } from '../../ir/graph.js';
import { allGraphs, type Model } from '../../ir/model.js';
import { isCell, linearView, specOf } from '../../ops/index.js';
import { dynamicForm } from '../../ops/kinds.js';
import type { QuantPoint, QuantScheme, QuantSpec } from '../../scheme/types.js';
import { selectNodes, type NodeFilter } from '../filter.js';
import { headsOf } from '../heads.js';
import { merged, overridesOf, type WeightSettings } from '../overrides.js';
import { withoutWeight } from '../nothing.js';
import { tableOf, tableScheme } from '../tables.js';
import type { PlanOptions } from './static.js';
import type { Planned } from '../../scheme/quantized.js';

export interface DynamicOptions extends Pick<PlanOptions, 'weights' | 'include' | 'exclude' | 'layers'> {
  /** ConvInteger too: slower than float on CPUs, so only on request. */
  readonly conv: boolean;
  /** Products that compute in float from weights stored in integers. */
  readonly weightOnly: readonly NodeFilter[];
  /** Whether products scale each row of their inputs alone. Default: those of language models. */
  readonly rows?: boolean | undefined;
  /** Embedding tables (Gather from a constant matrix) in int8, one scale a row. */
  readonly embeddings: boolean;
}

/**
 * Plans dynamic quantization, in bodies too: matrix products with constant weights, LSTMs, embedding tables and, on
 * request, convolutions.
 */
export function planDynamic(model: Model, o: DynamicOptions): Planned {
  const graphs = [...allGraphs(model.graph)];
  const order = graphs.flatMap((g) => g.topological());
  const everything = { topological: () => order };
  const compute = order.filter((n) => specOf(n)?.quant.role === 'compute');
  const included = o.include.length ? selectNodes(everything, o.include, compute) : undefined;
  const excluded = selectNodes(everything, o.exclude, compute);
  const weightOnly = selectNodes(everything, o.weightOnly, compute);
  const weightOnlyNodes = new Set<Node>();
  const inputs = new Set<Value>(graphs.flatMap((g) => g.inputs));
  const plan = new Map<QuantPoint, QuantSpec>();
  const integerNodes = new Set<Node>();
  const floatNodes = new Map<Node, string>();
  const layers = overridesOf(everything, o.layers ?? [], compute);
  for (const n of order) {
    const settings = merged(
      o.weights,
      (layers.get(n) ?? []).map((i) => o.layers?.[i]?.weights),
    );
    const found = dynamicForm(n) === 'lstm' ? lstmWeights(n, settings) : weightOf(n, o, settings);
    if (found === undefined) continue;
    const reason = excluded.has(n)
      ? `excluded by the recipe (${excluded.get(n)})`
      : included && !included.has(n)
        ? 'not included by the recipe'
        : typeof found === 'string'
          ? found
          : weightOnly.has(n) && found.length > 1
            ? 'an LSTM has no float form with integer weights; quantize.rest stores them otherwise'
            : found.some((w) => inputs.has(w.value))
              ? 'its weight is a graph input'
              : undefined;
    if (reason !== undefined || typeof found === 'string') {
      floatNodes.set(n, reason ?? '');
      continue;
    }
    for (const { value, index, scheme } of found) {
      const spec: QuantSpec = {
        kind: 'observed',
        scheme,
        observer: settings.observer,
        ...(settings.observerOptions === undefined ? {} : { observerOptions: settings.observerOptions }),
      };
      const known = plan.get(value);
      if (known && JSON.stringify(known) !== JSON.stringify(spec))
        plan.set(n.use(index)!, spec); // the weight is an input, so it has a use
      else plan.set(value, spec);
    }
    if (weightOnly.has(n) && found.length === 1 && item(found, 0).index !== 0) {
      weightOnlyNodes.add(n);
      floatNodes.set(n, `only its weights are quantized (${weightOnly.get(n)})`);
    } else integerNodes.add(n);
  }
  for (const [n, because] of floatNodes)
    if (!weightOnlyNodes.has(n)) for (const y of n.outputs) if (y.name) plan.set(y, { kind: 'float', because });
  const byRow = o.rows ?? headsOf(order).size > 0;
  const rowWise = new Set(byRow ? [...integerNodes].filter(readsRows) : []);
  return { plan, integerNodes, weightOnlyNodes, rowWise, fusedClamps: new Map(), floatNodes };
}

/** Whether a node multiplies rows along the last axis of its first input. */
function readsRows(n: Node): boolean {
  const view = linearView(n);
  return view?.kind === 'product' && view.data === 0 && view.dataAxis === -1;
}

interface Weight {
  readonly value: Value;
  readonly index: number;
  readonly scheme: QuantScheme;
}

/**
 * Both weights of an LSTM, [directions, 4 · hidden, inputs]: a scale for each row, or one for all. A reason where the
 * kernel cannot take them.
 */
function lstmWeights(
  n: Node,
  { observer: _observer, observerOptions: _options, granularity, ...rest }: WeightSettings,
): readonly Weight[] | string {
  if (n.int('layout', 0) !== 0) return 'the integer kernel has no batch-first layout';
  if (!['int8', 'uint8'].includes(rest.dtype)) return `there is no integer LSTM of ${rest.dtype} weights`;
  const found: Weight[] = [];
  for (const index of [1, 2]) {
    const value = n.inputs[index];
    if (!value?.isInitializer) return 'its weights are not constants';
    const { dtype, dims } = dataOf(value); // an initializer has data
    if (dtype !== 'float32' || dims.length !== 3)
      return `its weight is ${dtype} of ${dims.length} axes, not float32 of 3`;
    // The kernel takes zero points per row only where all are the same.
    found.push({
      value,
      index,
      scheme: {
        ...rest,
        symmetric: true,
        granularity: granularity === 'tensor' ? { kind: 'tensor' } : { kind: 'block', axis: 2, size: dims[2]! },
      },
    });
  }
  return found;
}

/**
 * The weight to quantize, a reason to leave a product alone, or undefined for nodes that have nothing to do with it.
 */
function weightOf(n: Node, o: DynamicOptions, settings: WeightSettings): readonly Weight[] | string | undefined {
  const { observer: _observer, observerOptions: _options, granularity, ...rest } = settings;
  if (linearView(n)?.kind === 'lookup') {
    const value = o.embeddings ? tableOf(n, () => false) : undefined;
    return value && [{ value, index: 0, scheme: tableScheme(settings) }];
  }
  const role = specOf(n)?.quant;
  if (role?.role !== 'compute')
    return isCell(n) ? `there is no integer ${n.op}; quantize.rest stores its weights otherwise` : undefined;
  const w = n.inputs[role.weight];
  if (!w?.isInitializer) return withoutWeight(n, () => false);
  if (w.dtype !== 'float32') return `its weight is ${w.dtype ?? 'of unknown type'}, not float32`;
  const form = dynamicForm(n);
  if (form === 'convolution' && !o.conv)
    return 'ConvInteger is slower than float; set quantize.dynamicConv: true to force it';
  if (form === 'none') return 'there is no integer transposed convolution';
  const axis = role.channelAxis(n, w.data?.dims.length ?? 0);
  if (typeof axis !== 'number') return axis.float;
  const perChannel = granularity !== 'tensor' && (w.data?.dims.length === 2 || form === 'convolution');
  if (!['int8', 'uint8'].includes(rest.dtype)) return `there is no integer product of ${rest.dtype} weights`;
  // ConvInteger takes one zero point for all channels: symmetric ones are the same.
  const symmetric = rest.symmetric || (form === 'convolution' && perChannel);
  return [
    {
      value: w,
      index: role.weight,
      scheme: { ...rest, symmetric, granularity: perChannel ? { kind: 'axis', axis } : { kind: 'tensor' } },
    },
  ];
}
