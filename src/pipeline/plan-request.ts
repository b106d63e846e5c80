/** What a recipe asks of planning, with what its target wants where it says nothing. */
import type { Diagnostic } from '../base/errors.js';
import type { LayerOverride } from '../quantize/overrides.js';
import type { PlanRequest } from '../quantize/planners/types.js';
import type { SaturationRule } from '../recipe/quantize-spec.js';
import type { Recipe } from '../recipe/schema.js';
import type { PortRule, TargetProfile } from '../scheme/profile.js';
import type { QuantScheme } from '../scheme/types.js';
import { overrideOf } from './layer-override.js';

/** What a recipe does about kernels that saturate, or what its target wants. */
export function saturationRule({ quantize: { weights: w } }: Recipe, target: TargetProfile): SaturationRule {
  if (w.saturation) return w.saturation;
  if (w.reduceRange) return w.reduceRange === 'auto' ? 'safe' : 'reduce';
  return target.u8s8 === 'pairs' ? 'safe' : target.u8s8 === 'any-pairs' ? 'reduce' : 'allow';
}

/** How tables and the heads that read them backwards are stored. A head goes with a table of a named type. */
function tablesOf(e: Recipe['quantize']['embeddings']): Pick<PlanRequest, 'embeddings' | 'head'> {
  if (typeof e === 'object') return { embeddings: e.table, head: e.head };
  return { embeddings: e, head: typeof e === 'string' ? e : true };
}

/**
 * Signed or unsigned is a matter of writing, for zero points follow: where a target takes one and a recipe names the
 * other, it is given the levels of the recipe in its own type, and `report` is told.
 */
export function requestOf(recipe: Recipe, target: TargetProfile, report: (d: Diagnostic) => void): PlanRequest {
  const { activations: a, weights: w, include, exclude, coding, ...q } = recipe.quantize;
  const { name, ...codingOptions } = coding;
  const defaults = target.defaults;
  const signs = new Signs(target);
  const dtype = signs.taken(w.dtype ?? defaults.weights.dtype, target.ports.weight);
  const layers = q.layers.map(overrideOf).map((layer) => signs.inLayer(layer));
  const reduced = /^u?int8$/.test(dtype) && saturationRule(recipe, target) === 'reduce';
  const powers = target.scales === 'power-of-two' ? { powerOfTwo: true } : {};
  const bits = reduced ? Math.min(7, w.bits ?? 7) : w.bits;
  const activations = signs.taken(a.dtype ?? defaults.activations.dtype, target.ports.activation);
  signs.tell(report);
  return {
    activations: {
      dtype: activations,
      symmetric: a.symmetric ?? defaults.activations.symmetric,
      narrow: a.narrow || defaults.activations.narrow === true,
      ...powers,
      granularity: a.granularity === 'channel' ? { kind: 'axis', axis: 1 } : { kind: 'tensor' },
      observer: a.observer.name,
      perChannel: a.granularity === 'channel',
    },
    weights: {
      dtype,
      symmetric: w.symmetric ?? defaults.weights.symmetric,
      narrow: w.narrow || defaults.weights.narrow === true,
      ...powers,
      rounding: w.rounding,
      ...(bits === undefined ? {} : { bits }),
      granularity: w.granularity ?? defaults.weightGranularity,
      observer: w.observer.name,
    },
    zeroPoints: a.symmetric === undefined,
    include,
    exclude,
    target,
    layers,
    format: q.format,
    granularity: w.granularity,
    coding: { name, options: codingOptions },
    dynamicConv: q.dynamicConv,
    dynamicRows: q.dynamicRows,
    weightOnly: q.weightOnly,
    ...tablesOf(q.embeddings),
    standardOps: q.standardOps,
    accuracyLevel: q.accuracyLevel,
  };
}

type Type = QuantScheme['dtype'];

/** Types of a recipe as a target that refuses others takes them. */
class Signs {
  readonly #target: TargetProfile;
  readonly #turned = new Map<Type, Type>();
  constructor(target: TargetProfile) {
    this.#target = target;
  }
  taken(asked: Type, { types }: PortRule): Type {
    if (this.#target.beyondPorts !== 'refused' || types.includes(asked)) return asked;
    const other = asked.startsWith('u') ? asked.slice(1) : `u${asked}`;
    const taken = types.find((t) => t === other);
    if (taken) this.#turned.set(asked, taken);
    return taken ?? asked;
  }
  inLayer({ activations: a, weights: w, ...layer }: LayerOverride): LayerOverride {
    const { activation, weight } = this.#target.ports;
    return {
      ...layer,
      ...(a ? { activations: { ...a, ...(a.dtype ? { dtype: this.taken(a.dtype, activation) } : {}) } } : {}),
      ...(w ? { weights: { ...w, ...(w.dtype ? { dtype: this.taken(w.dtype, weight) } : {}) } } : {}),
    };
  }
  tell(report: (d: Diagnostic) => void): void {
    for (const [asked, taken] of this.#turned)
      report({
        severity: 'note',
        code: 'TYPE_SIGN',
        message:
          `target ${this.#target.name} takes ${taken} where the recipe names ${asked}: ` +
          'the same levels are written in it',
      });
  }
}
