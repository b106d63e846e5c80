/** What is said of layers that may saturate: on the terminal, in the record, and by them in the reports. */
import { sampleFeed } from './calibration.js';
import { saturationEffect } from '../analyse/saturation-effect.js';
import type { Feed } from '../ir/feed.js';
import type { RuntimeFacts } from '../record/index.js';
import { environment, u8s8Saturates } from '../runtime/environment.js';
import { atBatch } from './feeds.js';
import type { Front } from './front.js';
import type { Together } from './together.js';
import type { WrittenVariant } from './variant/types.js';

type Saturation = NonNullable<RuntimeFacts['saturation']>;

/** The one piece of advice about saturation, wherever it is given. */
export const SATURATION_ADVICE =
  'set quantize.weights.saturation: safe, which costs next to nothing; or target: onnxruntime-cpu-vnni, if ' +
  'every CPU that the model ships to has VNNI';

/**
 * Warns of a model whose accuracy depends on the CPU, with the difference that saturation makes, reckoned on the inputs
 * of one sample. For a target that promises exact kernels, only where this machine has none: then what is measured is
 * not what the target gives. Gives the record's facts, with that difference. Throws what running the float model
 * throws.
 */
export async function tellOfSaturation(v: WrittenVariant, feed: Feed): Promise<WrittenVariant['saturation']> {
  const found = v.saturation;
  if (!found || found.risk === 'none' || (found.promised && found.risk === 'elsewhere')) return found;
  if (found.promised) {
    v.report({
      severity: 'warning',
      code: 'U8S8_SATURATION',
      message:
        `this CPU has no VNNI, which ${v.recipe.recipe.target} promises: ${layersText(found)} can saturate here, ` +
        'and what is measured is not what the target gives',
      hint: 'measure on a CPU with VNNI',
    });
    return found;
  }
  const effect = await saturationEffect(v.float, v.saturating, feed);
  const [node, most] = [...effect].reduce<[string, number]>((a, b) => (b[1] > a[1] ? b : a), ['', 0]);
  const seen =
    most > 0
      ? `; there, results of '${node}' move by ${(100 * most).toPrecision(2)} % on one sample`
      : '; on one sample, none does';
  v.report({
    severity: 'warning',
    code: 'U8S8_SATURATION',
    message: `${layersText(found)} can saturate on x64 CPUs without VNNI${where()}${seen}`,
    hint: SATURATION_ADVICE,
  });
  const withDifference = (l: Saturation['layers'][number]): Saturation['layers'][number] => {
    const difference = effect.get(l.node);
    return difference === undefined ? l : { ...l, difference };
  };
  return { ...found, layers: found.layers.map(withDifference) };
}

/** Such as `3 of 20 layers`. */
const layersText = ({ layers, products }: Saturation): string =>
  `${layers.length} of ${Math.max(products, layers.length)} integer layers`;

function where(): string {
  const here = u8s8Saturates(environment());
  return here === undefined ? '' : here ? ', such as this one' : ', not on this one';
}

/** How far kernels that saturate would change what a variant gives, where they could. */
export async function saturationOf(
  v: WrittenVariant,
  { lead, inputs }: Front,
  all: Together,
): Promise<WrittenVariant['saturation']> {
  if (!v.saturating.length) return v.saturation;
  const told = await all.lookInto(v, async () => {
    const feed = await sampleFeed(lead, inputs);
    return tellOfSaturation(v, atBatch(feed, inputs, 1));
  });
  return told ?? v.saturation;
}
