/**
 * From statistics to parameters: the plan's shared, fixed and derived points are resolved here, the observed ones by
 * their observers.
 */
import { filled, named } from '../base/lists.js';
import { fail, nearest, type Diagnostic } from '../base/errors.js';
import type { Value } from '../ir/graph.js';
import { observers } from '../calibrate/observers/index.js';
import { observeWeights } from '../calibrate/weights.js';
import type { Observer, TensorStats } from '../calibrate/types.js';
import { biasParams, type BiasParams } from '../scheme/bias.js';
import { layoutOf } from '../scheme/layout.js';
import { chooseParams, fixedParams, powerOfTwo } from '../scheme/params.js';
import type { QuantParams, QuantPoint, QuantSpec, Range, RowSolver } from '../scheme/types.js';
import { pointName } from './planners/static.js';
import type { Planned } from '../scheme/quantized.js';
import { anyPairParams, unsaturatedParams } from './unsaturated.js';

/** An observer by name, of the built-in ones or others. Throws RECIPE_UNKNOWN_NAME with the nearest name. */
export function observerOf(name: string, among: readonly Observer[] = observers): Observer {
  const found = among.find((o) => o.name === name);
  if (found) return found;
  const names = among.map((o) => o.name);
  const near = nearest(name, names);
  const hint = `${near ? `did you mean "${near}"? ` : ''}observers: ${names.join(', ')}`;
  return fail('RECIPE_UNKNOWN_NAME', `"${name}" is not an observer`, {}, hint);
}

export interface Assigned {
  readonly params: ReadonlyMap<QuantPoint, QuantParams>;
  readonly diagnostics: readonly Diagnostic[];
}

// an edge in a plan has a value
const valueOf = (p: QuantPoint): Value => ('uses' in p ? p : filled(p.node.inputs, p.index));

/** Of several bounds by channel, the furthest. */
const joined = (lists: readonly Float64Array[], furthest: (...x: number[]) => number): Float64Array =>
  Float64Array.from(lists[0] ?? [], (_, c) => furthest(...lists.map((l) => l[c] ?? 0)));

/** What parameters follow from: the plan, and in which order kernels that may saturate take weights. */
type PlannedPoints = Pick<Planned, 'plan' | 'packings'>;

/**
 * Parameters for every quantized point of a plan. `options` gives each observer's options, `among` the observers that
 * it may name (default: the built-in ones). Where an int32 bias would
 * overflow, the weight's scale is raised before anything is quantized with it. Weights with packings get codes that
 * cannot saturate. `later` gives those whose parameters are chosen while they are written.
 */
export function assignParams(
  planned: PlannedPoints,
  stats: ReadonlyMap<Value, TensorStats>,
  options: (point: QuantPoint, observer: string) => unknown,
  among?: readonly Observer[],
  later?: (point: QuantPoint, spec: QuantSpec & { kind: 'observed' }) => RowSolver | undefined,
): Assigned {
  const { plan } = planned;
  const params = new Map<QuantPoint, QuantParams>();
  const diagnostics: Diagnostic[] = [];

  const resolve = (point: QuantPoint): QuantParams | undefined => {
    const known = params.get(point);
    if (known) return known;
    const spec = plan.get(point);
    const made = spec && paramsOf(point, spec);
    if (made) params.set(point, made);
    return made;
  };
  const paramsOf = (point: QuantPoint, spec: QuantSpec): QuantParams | undefined => {
    switch (spec.kind) {
      case 'float':
      case 'derived':
      case 'coded':
      case 'half':
        return undefined;
      case 'fixed':
        return fixedParams(spec.scheme, spec.scale, spec.zeroPoint);
      case 'shared':
        return resolve(spec.with);
      case 'observed': {
        const solver = later?.(point, spec);
        if (solver)
          return { scheme: spec.scheme, scale: new Float32Array(0), zeroPoint: new Int32Array(0), later: solver };
        const range = observedRange(point, spec);
        const { data } = valueOf(point);
        const chosen = chooseParams(range, spec.scheme);
        return data && spec.scheme.granularity.kind === 'block'
          ? { ...chosen, dims: layoutOf(data.dims, spec.scheme.granularity).shape }
          : chosen;
      }
    }
  };
  const observedRange = (point: QuantPoint, spec: QuantSpec & { kind: 'observed' }): Range => {
    const { covers = [], ...own } = spec;
    if (!covers.length) return ownRange(point, own);
    const all = [point, ...covers].map((p) => ownRange(p, own));
    return {
      min: joined(
        all.map((r) => r.min),
        Math.min,
      ),
      max: joined(
        all.map((r) => r.max),
        Math.max,
      ),
    };
  };
  const ownRange = (point: QuantPoint, spec: QuantSpec & { kind: 'observed' }): Range => {
    const value = valueOf(point);
    const observer = observerOf(spec.observer, among);
    if (value.data)
      return observeWeights(
        value.data.f32(),
        value.data.dims,
        spec.scheme,
        observer,
        spec.observerOptions ?? options(point, spec.observer),
      );
    const seen = stats.get(value);
    if (!seen) fail('INTERNAL', `no statistics of '${value.name}'`, { tensor: value.name });
    const chosen = observer.chooseRange(seen, spec.scheme, spec.observerOptions ?? options(point, spec.observer));
    const { holds = [] } = spec;
    return { min: chosen.min.map((x) => Math.min(x, ...holds)), max: chosen.max.map((x) => Math.max(x, ...holds)) };
  };

  for (const point of plan.keys()) resolve(point);
  resolveBiases(planned, params, diagnostics);
  return { params, diagnostics };
}

/** The same parameters with others for some weights, and the biases that follow from them. */
export function withWeightParams(
  planned: PlannedPoints,
  assigned: Assigned,
  chosen: ReadonlyMap<QuantPoint, QuantParams>,
): Assigned {
  const params = new Map([...assigned.params].filter(([p]) => planned.plan.get(p)?.kind !== 'derived'));
  for (const [point, made] of chosen) params.set(point, made);
  const diagnostics: Diagnostic[] = [];
  resolveBiases(planned, params, diagnostics);
  return { ...assigned, params, diagnostics };
}

/**
 * The same parameters, with codes for weights of 7 bits that kernels may take any two of together. A weight whose bias
 * would not fit int32 then stays as it is.
 */
export function withAnyPairs(planned: PlannedPoints & Pick<Planned, 'narrowed'>, assigned: Assigned): Assigned {
  const chosen = new Map<QuantPoint, QuantParams>();
  for (const [point, packing] of planned.narrowed ?? []) {
    const own = assigned.params.get(point);
    if (own) chosen.set(point, anyPairParams(valueOf(point), own, packing));
  }
  if (!chosen.size) return assigned;
  const derived = [...planned.plan].filter(isDerived);
  for (const [, { weight, made }] of biasesOf(derived, new Map([...assigned.params, ...chosen])))
    if (made.raised.length) chosen.delete(weight);
  return withWeightParams(planned, assigned, chosen);
}

/**
 * A bias may raise the scale of a weight, which other biases use too; then the codes of weights are made safe from
 * saturation, which may widen scales again; then biases get the scales that follow.
 */
function resolveBiases(
  { plan, packings }: PlannedPoints,
  params: Map<QuantPoint, QuantParams>,
  diagnostics: Diagnostic[],
): void {
  const derived = [...plan].filter(isDerived);
  for (const [, { weight, made }] of biasesOf(derived, params)) {
    if (!made.raised.length) continue;
    const { codes: _codes, ...old } = named(params, weight); // biasesOf found them
    params.set(weight, { ...old, scale: old.scheme.powerOfTwo ? made.weightScale.map(powerOfTwo) : made.weightScale });
    diagnostics.push({
      severity: 'note',
      code: 'BIAS_OVERFLOW',
      where: { tensor: pointName(weight) },
      message:
        `the scale of ${made.raised.length} channels of '${pointName(weight)}' was raised so that the bias fits ` +
        'int32',
    });
  }
  for (const [point, ways] of packings ?? []) {
    const own = params.get(point);
    if (own) params.set(point, unsaturatedParams(valueOf(point), own, ways));
  }
  for (const [point, { made }] of biasesOf(derived, params)) params.set(point, made.params);
}

type DerivedPoint = readonly [QuantPoint, QuantSpec & { kind: 'derived' }];
const isDerived = (e: [QuantPoint, QuantSpec]): e is [QuantPoint, QuantSpec & { kind: 'derived' }] =>
  e[1].kind === 'derived';
/** What each bias asks for, looked at in turn: the next sees what was done about the one before. */
function* biasesOf(
  derived: readonly DerivedPoint[],
  params: ReadonlyMap<QuantPoint, QuantParams>,
): Generator<[QuantPoint, { weight: QuantPoint; made: BiasParams }]> {
  for (const [
    point,
    {
      from: [activation, weight],
    },
  ] of derived) {
    const a = params.get(activation);
    const w = params.get(weight);
    const bias = valueOf(point).data;
    if (!a || !w || !bias) continue;
    // per-channel activations and blocked weights have no int32 bias
    if (a.scale.length !== 1 || w.scheme.granularity.kind === 'block') continue;
    yield [point, { weight, made: biasParams(bias.f32(), a.scale[0]!, w.scale) }];
  }
}
