/** What a target's rules say of a plan. */
import { fail, type Diagnostic } from '../base/errors.js';
import { label, type Node, type Value } from '../ir/graph.js';
import { dataInputs, linearView, specOf } from '../ops/index.js';
import type { Planned } from '../scheme/quantized.js';
import { powerOfTwo } from '../scheme/params.js';
import type { QuantParams, QuantPoint, QuantScheme } from '../scheme/types.js';
import type { PortRule, QuirkCondition, TargetProfile } from '../scheme/profile.js';
import { mayHaveZeroPoint } from './zeros-between.js';
import { isBatched } from './kernel-limits.js';
import { schemeOf } from './unsaturated.js';

/** What the kernel of a node takes. */
export function portsOf(target: TargetProfile, n: Node): TargetProfile['ports'] {
  const own = target.integerOps[n.op];
  return { activation: own?.activation ?? target.ports.activation, weight: own?.weight ?? target.ports.weight };
}

/** Why a port does not take a scheme, in words; undefined where it does. */
export function refusalOf(scheme: QuantScheme, rule: PortRule): string | undefined {
  if (!rule.types.includes(scheme.dtype)) return `${scheme.dtype}, not ${rule.types.join(' or ')}`;
  if (rule.symmetric && !scheme.symmetric) return 'asymmetric, not symmetric';
  if (rule.narrow && !scheme.narrow && (scheme.bits ?? 8) >= 8) return 'of all codes, not narrow';
  const { kind } = scheme.granularity;
  return rule.granularity.includes(kind) ? undefined : `scales by ${kind}, not ${rule.granularity.join(' or ')}`;
}

export interface Breach {
  readonly node: Node;
  readonly port: string;
  readonly because: string;
}

/** Every port of an integer node whose codes its kernel does not take. */
export function breaches(planned: Planned, target: TargetProfile): Breach[] {
  const { plan, integerNodes } = planned;
  const clamps = (n: Node): boolean => specOf(n)?.quant.role === 'clamp';
  return [...integerNodes].flatMap((node): Breach[] => {
    if (clamps(node)) return [];
    const rules = portsOf(target, node);
    const weight = specOf(node)?.quant.role === 'compute' ? linearView(node)?.weight : undefined;
    const inputs = new Set([...dataInputs(node), ...(weight === undefined ? [] : [weight])]);
    const taken = (v: Value | null | undefined, rule: PortRule): PortRule =>
      rule.symmetric && v && mayHaveZeroPoint(v, planned, target) ? { ...rule, symmetric: false } : rule;
    const found = [...inputs].flatMap((i): Breach[] => {
      const v = node.inputs[i];
      const scheme = v ? (schemeOf(plan, node.use(i)) ?? schemeOf(plan, v)) : undefined;
      const constant = i === weight && v?.isInitializer === true;
      const because = scheme && refusalOf(scheme, constant ? rules.weight : taken(v, rules.activation));
      return because === undefined ? [] : [{ node, port: constant ? 'weight' : `input ${i}`, because }];
    });
    const results = node.outputs.flatMap((y): Breach[] => {
      const scheme = y.name ? schemeOf(plan, y) : undefined;
      const because = scheme && refusalOf(scheme, taken(y, rules.activation));
      return because === undefined ? [] : [{ node, port: 'output', because }];
    });
    return [...found, ...results];
  });
}

/** Throws RECIPE_INVALID where a target refuses models with what the plan asks for. */
export function assertTakes(planned: Planned, target: TargetProfile): void {
  if (target.beyondPorts !== 'refused') return;
  const all = breaches(planned, target);
  const [first] = all;
  if (!first) return;
  const { activations: a, weights: w, weightGranularity } = target.defaults;
  fail(
    'RECIPE_INVALID',
    `target ${target.name} refuses the ${first.port} of '${label(first.node)}' (${first.node.op}): ${first.because}` +
      (all.length > 1 ? `; and ${all.length - 1} ports more` : ''),
    { node: label(first.node) },
    `it takes activations of ${a.dtype}${a.symmetric ? ', symmetric' : ''}, and weights of ${w.dtype}` +
      `${w.symmetric ? ', symmetric' : ''}, by ${weightGranularity}: leave those keys out of the recipe`,
  );
}

/** Throws RECIPE_INVALID where a target wants powers of two and a scale is none: some methods learn or shift scales. */
export function assertScales(params: ReadonlyMap<QuantPoint, QuantParams>, target: TargetProfile): void {
  if (target.scales !== 'power-of-two') return;
  for (const [point, { scale }] of params) {
    const odd = scale.find((s) => powerOfTwo(s) !== s);
    if (odd === undefined) continue;
    const tensor = 'uses' in point ? point.name : `${label(point.node)}[${point.index}]`;
    fail(
      'RECIPE_INVALID',
      `the scale ${odd} of '${tensor}' is no power of two, and target ${target.name} takes no others`,
      { tensor },
      'leave out what learns or corrects scales: weights.correct: [scale], methods adaquant and brecq, training',
    );
  }
}

/** What conditions of quirks look at. */
export interface QuirkFacts {
  /** Kind of the plan. */
  readonly kind: string;
  readonly planned: Planned;
  readonly activations: readonly string[];
  readonly dequantized: readonly Node[];
  /** Scales by channel are wanted of weights. */
  readonly byChannel: boolean;
}

/** The quirks of a target that concern a plan. */
export function quirksFor(target: TargetProfile, facts: QuirkFacts): Diagnostic[] {
  return target.quirks
    .filter((q) => q.when !== undefined && holds(q.when, target, facts))
    .map((q) => ({ severity: 'warning', code: q.code, message: q.text, hint: q.source }));
}

function holds(when: QuirkCondition, target: TargetProfile, f: QuirkFacts): boolean {
  const typeOf = (n: Node): string | undefined => {
    const weight = linearView(n)?.weight;
    const v = weight === undefined ? undefined : n.inputs[weight];
    return v ? (schemeOf(f.planned.plan, n.use(weight ?? 0)) ?? schemeOf(f.planned.plan, v))?.dtype : undefined;
  };
  const { ops, types, inputsFirst } = when.dequantized ?? {};
  const has = (n: Node): boolean =>
    (ops?.includes(n.op) ?? true) &&
    (types?.includes(typeOf(n) ?? '') ?? true) &&
    (!inputsFirst || linearView(n)?.inputAxis === 0);
  return (
    (when.plans?.includes(f.kind) ?? true) &&
    (when.activations?.some((t) => f.activations.includes(t)) ?? true) &&
    (when.integerOps?.some((op) => [...f.planned.integerNodes].some((n) => n.op === op)) ?? true) &&
    (!when.dequantized || f.dequantized.some(has)) &&
    (!when.batchedChannels || (f.byChannel && [...f.planned.integerNodes].some((n) => isBatched(n, target)))) &&
    (!when.beyondPorts || breaches(f.planned, target).length > 0)
  );
}
