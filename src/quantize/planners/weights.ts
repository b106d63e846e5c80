/** Planning of weights and tables: their schemes, and which nodes share one set of parameters. */
import { filled } from '../../base/lists.js';
import type { Node, Use, Value } from '../../ir/graph.js';
import type { QuantRole } from '../../ops/spec.js';
import type { QuantPoint, QuantScheme, QuantSpec } from '../../scheme/types.js';
import { merged, type LayerOverride, type WeightSettings } from '../overrides.js';
import { tableOf, tableScheme } from '../tables.js';

type Compute = Extract<QuantRole, { role: 'compute' }>;

/** Writes the weight and the bias of a node down. */
export function describeWeights(
  plan: Map<QuantPoint, QuantSpec>,
  n: Node,
  role: Compute,
  settings: WeightSettings,
  integerBias: boolean,
): void {
  const w = filled(n.inputs, role.weight); // candidate() checked it
  if (!w.isInitializer) return;
  const axis = role.channelAxis(n, w.shape?.length ?? 0);
  if (typeof axis !== 'number') return;
  const { observer, observerOptions, granularity, ...rest } = settings;
  const scheme: QuantScheme = {
    ...rest,
    granularity:
      granularity === 'tensor'
        ? { kind: 'tensor' }
        : granularity === 'channel'
          ? { kind: 'axis', axis }
          : { kind: 'block', axis: blockAxis(axis, w), size: granularity.block },
  };
  const spec: QuantSpec = {
    kind: 'observed',
    scheme,
    observer,
    ...(observerOptions === undefined ? {} : { observerOptions }),
  };
  const point = sharedPoint(plan, w, n.use(role.weight)!, spec); // the input is present, so it has a use
  const b = role.bias === undefined ? null : (n.inputs[role.bias] ?? null);
  if (!b || !integerBias) return;
  const activation = filled(n.inputs, role.activations[0]!); // a compute op has an activation
  const biasPoint: QuantPoint = b.uses.size === 1 ? b : n.use(role.bias!)!;
  plan.set(biasPoint, { kind: 'derived', from: [activation, point], rule: 'bias' });
}

/** Blocks run along the reduction axis: the rows of a MatMul weight, the input channels of a Conv. */
const blockAxis = (channelAxis: number, w: Value): number =>
  (w.shape?.length ?? 2) === 2 ? 1 - channelAxis : channelAxis === 0 ? 1 : 0;

interface TableChoice {
  readonly integer: ReadonlySet<Node>;
  readonly included: ReadonlyMap<Node, string> | undefined;
  readonly excluded: ReadonlyMap<Node, string>;
  readonly isInput: ReadonlySet<Value>;
  readonly weights: WeightSettings;
  readonly layers?: readonly LayerOverride[] | undefined;
  readonly layersOf: ReadonlyMap<Node, readonly number[]>;
}

/** Writes tables down that the recipe does not leave out, and gives the nodes that look rows up in them. */
export function describeTables(plan: Map<QuantPoint, QuantSpec>, order: readonly Node[], chosen: TableChoice): Node[] {
  const { weights, layers, layersOf } = chosen;
  return order.filter((n) => {
    const table = tableOf(n, (v) => chosen.isInput.has(v));
    if (!table || chosen.integer.has(n) || chosen.excluded.has(n) || chosen.included?.has(n) === false) return false;
    const settings = merged(
      weights,
      (layersOf.get(n) ?? []).map((i) => layers?.[i]?.weights),
    );
    const { observer, observerOptions } = settings;
    const spec: QuantSpec = {
      kind: 'observed',
      scheme: tableScheme(settings),
      observer,
      ...(observerOptions === undefined ? {} : { observerOptions }),
    };
    sharedPoint(plan, table, n.use(0)!, spec); // the table is an input
    return true;
  });
}

/** One set of parameters for all users of a weight that agree on the scheme; a user that differs gets its own. */
function sharedPoint(
  plan: Map<QuantPoint, QuantSpec>,
  w: Value,
  use: Use,
  spec: QuantSpec & { kind: 'observed' },
): QuantPoint {
  const known = plan.get(w);
  if (!known) {
    plan.set(w, spec);
    return w;
  }
  if (JSON.stringify(known) === JSON.stringify(spec)) return w;
  plan.set(use, spec);
  return use;
}
