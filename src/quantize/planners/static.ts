/** Planning: which values are quantized, how, and why the others are not. Pure: reads the model, computes no number. */
import { filled, item } from '../../base/lists.js';
import { fail } from '../../base/errors.js';
import { label, type Graph, type Node, type Value } from '../../ir/graph.js';
import { allGraphs, type Model } from '../../ir/model.js';
import { dataInputs, specOf } from '../../ops/index.js';
import type { QuantRole } from '../../ops/spec.js';
import type { Planned } from '../../scheme/quantized.js';
import { fusionsOf } from '../../scheme/fusions.js';
import { fixedOf } from '../fixed-range.js';
import { mayHaveZeroPoint } from '../zeros-between.js';
import type { QuantPoint, QuantScheme, QuantSpec } from '../../scheme/types.js';
import type { TargetProfile } from '../../scheme/profile.js';
import { selectNodes, type NodeFilter } from '../filter.js';
import { hasChannelScales, keepsChannels, kernelWeights } from '../kernel-limits.js';
import { borderOf, maskNodes } from '../masks.js';
import { describeTables, describeWeights } from './weights.js';
import { probeOf, UNREACHED, unreachedNodes } from '../unreached.js';
import { spectrumNodes } from '../spectrum.js';
import { headConcats, MIXED_SCALES } from '../mixed-scales.js';
import { summedInFloat } from '../fused-sums.js';
import { dropFixedScales, rootOf, shareScales } from '../same-scale.js';
import { resultsOf, settle } from '../settle.js';
import { merged, overridesOf, type ActivationSettings, type LayerOverride, type WeightSettings } from '../overrides.js';

export interface PlanOptions {
  readonly activations: ActivationSettings;
  readonly weights: WeightSettings;
  /** Settings of single layers; later ones win. Those of activations hold for what a layer reads and makes. */
  readonly layers?: readonly LayerOverride[];
  readonly include: readonly NodeFilter[];
  readonly exclude: readonly NodeFilter[];
  readonly target: TargetProfile;
  /** Whether bodies of If, Loop and Scan are planned too. Default: they stay float. */
  readonly bodies?: boolean;
  /** Whether embedding tables are stored as codes. */
  readonly embeddings?: boolean;
  /** Values that calibration never computed: what works on them stays float. */
  readonly never?: ReadonlySet<Value>;
  /** Whether activations have zero points where the target has them between products only. */
  readonly zeroPoints?: boolean;
  /** Nodes that stay float, and why. */
  readonly floats?: ReadonlyMap<Node, string>;
}

const roleOf = (n: Node): QuantRole | undefined => specOf(n)?.quant;

/**
 * Plans the main graph and, with `bodies`, those inside of If, Loop and Scan, each for itself: what comes in from
 * outside is quantized there anew. Throws RECIPE_UNKNOWN_NAME for filters that name nothing.
 */
export function planQuantization(model: Model, options: PlanOptions): Planned {
  const graphs = options.bodies ? [...allGraphs(model.graph)] : [model.graph];
  const orders = graphs.map((g) => g.topological());
  const everything = { topological: () => orders.flat() };
  const compute = everything.topological().filter((n) => roleOf(n)?.role === 'compute');
  const included = options.include.length ? selectNodes(everything, options.include, compute) : undefined;
  const excluded = selectNodes(everything, options.exclude, compute);
  const layers = overridesOf(everything, options.layers ?? [], compute);
  const isInput = new Set<Value>(graphs.flatMap((g) => g.inputs));
  const named = [...(options.layers ?? []).map((l) => l.match), ...options.include].filter(
    (f) => typeof f === 'string',
  );
  const forced = selectNodes(everything, named, compute);
  const whole = {
    plan: new Map<QuantPoint, QuantSpec>(),
    integerNodes: new Set<Node>(),
    weightOnlyNodes: new Set<Node>(),
    fusedClamps: new Map<Node, Node>(),
    floatNodes: new Map<Node, string>(),
    probes: new Set<Value>(),
  };
  for (const order of orders) {
    const floatNodes = new Map<Node, string>();
    const integer = new Set<Node>();
    const masks = maskNodes(order, isInput);
    const unreached = unreachedNodes(model, order, options.never ?? new Set());
    const spectrum = spectrumNodes(order, isInput);
    for (const n of forced.keys()) spectrum.delete(n);
    for (const n of order) {
      const verdict = candidate(n, isInput, options, { included, excluded, masks, unreached, spectrum });
      if (verdict === true) integer.add(n);
      else if (verdict) floatNodes.set(n, verdict);
    }
    dropFixedScales(order, integer, options.target, floatNodes);
    const fusedClamps = fuseClamps(order, integer, fusionsOf(options.target.fusions));
    settle(order, integer, fusedClamps, floatNodes, isInput, fusionsOf(options.target.fusedSums ?? []));
    describePoints(whole.plan, model.graph, order, integer, fusedClamps, floatNodes, options, layers);
    shareScales(whole.plan, order, integer, fusedClamps, options.target);
    for (const n of integer) whole.integerNodes.add(n);
    if (options.embeddings) {
      for (const n of describeTables(whole.plan, order, {
        ...options,
        integer,
        included,
        excluded,
        isInput,
        layersOf: layers,
      })) {
        whole.weightOnlyNodes.add(n);
        floatNodes.set(n, 'looks rows up in a table of int8');
      }
    }
    if (order !== orders[0]) for (const y of probeOf(order, integer)) whole.probes.add(y);
    for (const [n, clamp] of fusedClamps) whole.fusedClamps.set(n, clamp);
    for (const [n, why] of floatNodes) whole.floatNodes.set(n, why);
  }
  // there is a main graph
  const heads = options.floats ? new Set<Node>() : headConcats(item(orders, 0), whole.integerNodes);
  if (!heads.size) return whole;
  const other = planQuantization(model, { ...options, floats: new Map([...heads].map((n) => [n, MIXED_SCALES])) });
  const spare = new Map(
    [...other.plan].filter(([p, spec]) => spec.kind === 'observed' && whole.plan.get(p)?.kind !== 'observed'),
  );
  return { ...whole, heads, spare };
}

interface Chosen {
  readonly included: ReadonlyMap<Node, string> | undefined;
  readonly excluded: ReadonlyMap<Node, string>;
  readonly masks: ReadonlyMap<Node, string>;
  readonly spectrum: ReadonlyMap<Node, string>;
  readonly unreached: ReadonlySet<Node>;
}

/** True when the node may run in integers; a reason or false (not worth a word) when it may not. */
function candidate(n: Node, inputs: ReadonlySet<Value>, o: PlanOptions, chosen: Chosen): boolean | string {
  const { included, excluded, masks, unreached, spectrum } = chosen;
  const spec = specOf(n);
  const role = spec?.quant;
  const listed = excluded.get(n);
  if (listed !== undefined) return `excluded by the recipe (${listed})`;
  if (!spec || !role)
    return n.subgraphs().length ? 'control flow' : `operator ${n.domain ? `${n.domain}.` : ''}${n.op} is not known`;
  if (role.role === 'float') return spec.cost === 'free' ? false : role.because;
  const movesOnly = role.role === 'passthrough' || role.role === 'clamp';
  if (movesOnly ? !o.target.passthroughOps.includes(n.op) : !(n.op in o.target.integerOps))
    return `${o.target.name} has no integer kernel for ${n.op}`;
  if (unreached.has(n)) return movesOnly ? false : UNREACHED;
  if (included && !included.has(n) && !movesOnly) return 'not included by the recipe';
  const stays = o.floats?.get(n) ?? spectrum.get(n);
  if (stays !== undefined) return stays;
  const data = n.inputs[0];
  if (n.outputs[0]?.dtype !== 'float32')
    return n.outputs[0]?.dtype && movesOnly ? false : `its type is ${n.outputs[0]?.dtype ?? 'unknown'}, not float32`;
  switch (role.role) {
    case 'compute': {
      const w = n.inputs[role.weight];
      if (!w || !data) return 'an input is missing';
      if (!w.isInitializer || inputs.has(w))
        return role.activations.includes(role.weight) ? takesTwo(n, o.target) : 'its weight is not a constant';
      const axis = role.channelAxis(n, w.shape?.length ?? 0);
      if (typeof axis !== 'number') return axis.float;
      const b = role.bias === undefined ? undefined : n.inputs[role.bias];
      if (b && (!b.isInitializer || inputs.has(b))) return 'its bias is not a constant';
      if (b?.data && (b.data.size !== w.data?.dims[axis] || b.data.dims[b.data.dims.length - 1] !== b.data.size))
        return 'its bias is not one value per output channel';
      return true;
    }
    case 'passthrough': {
      if (hasChannelScales(o) && !keepsChannels(n)) return `${n.op} moves channels, which have scales of their own`;
      const border = borderOf(n);
      return typeof border === 'string' ? border : (role.when?.(n) ?? true);
    }
    case 'clamp':
      return role.bounds(n) ? true : 'its limits are not constants';
    case 'arithmetic':
      return masks.get(n) ?? true;
    default:
      return assertNever(role);
  }
}
const takesTwo = ({ op }: Node, { name, integerOps }: TargetProfile): true | string =>
  !integerOps[op]?.constantWeight || `${name} multiplies two activations in float`;

function assertNever(x: never): never {
  return fail('INTERNAL', `unhandled role ${JSON.stringify(x)}`);
}

/** A clamp right after an integer compute or arithmetic node, with no other user of the value between, is fused. */
function fuseClamps(
  order: readonly Node[],
  integer: Set<Node>,
  fuses: (before: Node, clamp: Node) => boolean,
): Map<Node, Node> {
  const fused = new Map<Node, Node>();
  for (const n of order) {
    if (roleOf(n)?.role !== 'clamp' || !integer.has(n)) continue;
    const p = n.inputs[0]?.producer;
    const role = p && roleOf(p)?.role;
    if (
      p &&
      integer.has(p) &&
      (role === 'compute' || role === 'arithmetic') &&
      fuses(p, n) &&
      filled(n.inputs, 0).uses.size === 1 &&
      !filled(n.inputs, 0).isGraphOutput &&
      !fused.has(p)
    )
      fused.set(p, n);
  }
  return fused;
}

/** Writes the plan of one graph down: a spec for each point that the integer nodes touch. */
function describePoints(
  plan: Map<QuantPoint, QuantSpec>,
  main: Graph,
  order: readonly Node[],
  integer: ReadonlySet<Node>,
  fused: ReadonlyMap<Node, Node>,
  why: ReadonlyMap<Node, string>,
  o: PlanOptions,
  layers: ReadonlyMap<Node, readonly number[]>,
): void {
  /** Tensors of bodies leave them as extremes only. */
  const inBody = (v: Value): boolean => (v.producer ? v.producer.graph !== main : !v.isInitializer && !main.isInput(v));
  const settingsOf = activationSettings(order, integer, fused, o, layers);
  const kernels = { integerNodes: integer, fusedClamps: fused };
  const observed = (v: Value): void => {
    const { observer, observerOptions, perChannel: _perChannel, ...asked } = settingsOf(v);
    const scheme = o.zeroPoints && mayHaveZeroPoint(v, kernels, o.target) ? { ...asked, symmetric: false } : asked;
    if ((plan.get(v)?.kind ?? 'float') !== 'float') return; // a body may want in integers what stays float around it
    if (inBody(v))
      plan.set(v, {
        kind: 'observed',
        scheme: { ...scheme, granularity: { kind: 'tensor' } },
        observer: 'minmax',
        observerOptions: {},
      });
    else
      plan.set(v, {
        kind: 'observed',
        scheme: forRank(scheme, v),
        observer,
        ...(observerOptions === undefined ? {} : { observerOptions }),
      });
  };
  const clampOf = new Set(fused.values());
  const summed = summedInFloat(order, integer, fused, o.target);

  for (const n of order) {
    if (!integer.has(n) || clampOf.has(n)) continue;
    const role = roleOf(n)!; // integer nodes have a role
    for (const i of dataInputs(n)) {
      const v = n.inputs[i];
      if (v && !summed.has(v)) observed(v);
    }
    if (role.role === 'passthrough' || role.role === 'clamp') {
      for (const y of n.outputs) if (y.name) plan.set(y, { kind: 'shared', with: filled(n.inputs, 0) });
      hold(plan, n);
      continue;
    }
    if (role.role === 'compute') {
      const own = merged(
        o.weights,
        (layers.get(n) ?? []).map((i) => o.layers?.[i]?.weights),
      );
      describeWeights(plan, n, role, kernelWeights(n, own, o.target, settingsOf), o.target.bias === 'int32');
    }
    for (const y of resultsOf(n, fused)) {
      if (!y.name || summed.has(y)) continue;
      if (o.target.integerOps[n.op]?.floatOutput && !needed(y, integer, clampOf)) continue;
      const { observer: _observer, observerOptions: _options, perChannel: _perChannel, ...scheme } = settingsOf(y);
      const fixed = fused.has(n) ? undefined : fixedOf(n, role, scheme, o.target);
      if (fixed)
        plan.set(y, {
          kind: 'fixed',
          scheme: { ...scheme, symmetric: false, granularity: { kind: 'tensor' } },
          ...fixed,
        });
      else observed(y);
    }
  }
  for (const [n, because] of why)
    for (const y of n.outputs) if (y.name && !plan.has(y)) plan.set(y, { kind: 'float', because });
}

/** What shares a scale with the border of a Pad has room for it. */
function hold(plan: Map<QuantPoint, QuantSpec>, n: Node): void {
  const border = borderOf(n);
  if (typeof border !== 'number') return;
  const root = rootOf(plan, filled(n.inputs, 0)); // a Pad has data
  const spec = plan.get(root);
  if (spec?.kind === 'observed') plan.set(root, { ...spec, holds: [...(spec.holds ?? []), border] });
}

/**
 * The settings of an activation: those for all, and over them those of the layers that read or make it, behind ops that
 * pass codes through too.
 */
function activationSettings(
  order: readonly Node[],
  integer: ReadonlySet<Node>,
  fused: ReadonlyMap<Node, Node>,
  o: PlanOptions,
  layers: ReadonlyMap<Node, readonly number[]>,
): (v: Value) => ActivationSettings {
  const clampOf = new Set(fused.values());
  const origin = (v: Value): Value => {
    const p = v.producer;
    const role = p && integer.has(p) ? roleOf(p)?.role : undefined;
    return p && (role === 'passthrough' || (role === 'clamp' && !clampOf.has(p))) && p.inputs[0]
      ? origin(p.inputs[0])
      : v;
  };
  const entries = new Map<Value, Set<number>>();
  for (const n of order) {
    const own = integer.has(n) ? layers.get(n)?.filter((i) => o.layers?.[i]?.activations) : undefined;
    if (!own?.length) continue;
    for (const v of [...dataInputs(n).map((i) => n.inputs[i]), ...resultsOf(n, fused)]) {
      if (!v) continue;
      const all = entries.get(origin(v)) ?? new Set<number>();
      own.forEach((i) => all.add(i));
      entries.set(origin(v), all);
    }
  }
  return (v) =>
    merged(
      o.activations,
      [...(entries.get(origin(v)) ?? [])].sort((a, b) => a - b).map((i) => o.layers?.[i]?.activations),
    );
}

/** Whether anything needs the value in integers: else a kernel that can give float does. */
function needed(v: Value, integer: ReadonlySet<Node>, clamps: ReadonlySet<Node>): boolean {
  return [...v.uses].some((u) => {
    if (!integer.has(u.node) || !dataInputs(u.node).includes(u.index)) return false;
    const role = roleOf(u.node)?.role;
    return role === 'passthrough' || (role === 'clamp' && !clamps.has(u.node))
      ? u.node.outputs.some((y) => needed(y, integer, clamps))
      : true;
  });
}

/** Per-channel activations fall back to one scale where the value has no channel axis. */
function forRank(scheme: QuantScheme, v: Value): QuantScheme {
  const g = scheme.granularity;
  return g.kind === 'axis' && (v.shape?.length ?? 0) <= g.axis
    ? { ...scheme, granularity: { kind: 'tensor' } }
    : scheme;
}

/** What to call a point in reports: the value's name, or `node[input]` for an edge. */
export const pointName = (p: QuantPoint): string => ('uses' in p ? p.name : `${label(p.node)}[${p.index}]`);
