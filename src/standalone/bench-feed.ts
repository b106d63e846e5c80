/** What a model is timed on: sizes that are given, a real sample, or guesses that it runs with. */
import { field, item } from '../base/lists.js';
import { fail, QuantError, type Diagnostic } from '../base/errors.js';
import { batches } from '../data/batch.js';
import type { Feed, ValueInfo } from '../ir/feed.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import type { Session } from '../runtime/session.js';
import { openData } from '../pipeline/calibration.js';
import { fixedSizes, type Sizes } from '../data/language/feed.js';
import { rolesOf } from '../data/language/roles.js';
import { atBatch, randomFeed } from '../pipeline/feeds.js';

export interface BenchFeedOptions {
  /** What is known of the inputs. Default: what the runtime tells of them. */
  readonly inputs?: readonly ValueInfo[] | undefined;
  readonly batch: number;
  /** Shapes of inputs by name, such as [1, 3, 480, 480]. */
  readonly shapes?: ReadonlyMap<string, readonly (number | string | null)[]> | undefined;
  /** Gives a real sample. */
  readonly recipe?: ResolvedRecipe | undefined;
  readonly report: (d: Diagnostic) => void;
}

/** Sizes for axes that the model leaves open, in turn until it runs: a small image, a sentence. */
const IMAGE_SIZES = [224, 32, 480, 16, 5, 2, 1] as const;
const OTHER_SIZES = [32, 512, 224, 16, 5, 2, 1] as const;

/**
 * The inputs to time with. Without a recipe they are random, in the shapes that are given and the sizes that follow
 * from them by the names of axes; what is still open is guessed, with a warning. Throws USAGE for shapes that do not
 * fit, MODEL_RUNTIME where no guess runs, and what reading data throws.
 */
export async function benchFeed(session: Session, o: BenchFeedOptions): Promise<Feed> {
  const { inputs = session.inputs } = o;
  if (o.recipe) return atBatch(await firstSample(o.recipe, inputs), inputs, o.batch);
  const known = new Map<string, number>();
  const shaped = inputs.map((i) => ({ ...i, shape: fitted(i, o.shapes?.get(i.name), known) }));
  const sized = shaped.map((i) => ({
    ...i,
    shape: i.shape?.map((d) => (typeof d === 'string' ? (known.get(d) ?? d) : d)),
  }));
  if (rolesOf(inputs).size) return languageBench(session, sized, o);
  // Axis 0 is the batch where nothing else is said of it.
  const free = sized.map((i) => ({
    ...i,
    shape: i.shape?.map((d, axis) => (axis === 0 && typeof d !== 'number' ? o.batch : d)),
  }));
  const open = free.flatMap((i) =>
    (i.shape ?? []).flatMap((d, axis) => (typeof d === 'number' ? [] : [{ name: i.name, axis }])),
  );
  const given = (o.shapes?.size ?? 0) > 0;
  const made = (list: readonly ValueInfo[], size: number): Feed => {
    const feed = randomFeed(list, 0, size);
    return given && o.batch === 1 ? feed : atBatch(feed, inputs, o.batch);
  };
  if (!open.length) return made(free, 1);
  // States have the batch on a later axis, behind one whose size is fixed: [2, batch, 128].
  const stateful = free.map((i, k) =>
    typeof item(sized, k).shape?.[0] === 'number'
      ? { ...i, shape: i.shape?.map((d) => (typeof d === 'number' ? d : o.batch)) }
      : i,
  ); // one for each
  let refused: QuantError | undefined;
  for (const size of inputs.some((i) => i.shape?.length === 4) ? IMAGE_SIZES : OTHER_SIZES) {
    for (const list of [stateful, free]) {
      const feed = made(list, size);
      try {
        await session.run(feed);
      } catch (error) {
        if (!(error instanceof QuantError)) throw error;
        refused ??= error;
        continue;
      }
      // a feed has every input
      const at = open.map(({ name, axis }) => `axis ${axis} of '${name}' is ${field(feed, name).dims[axis]}`);
      const { name } = item(open, 0); // open is not empty
      const hint = `give them with --input-shape ${name}=${field(feed, name).dims.join(
        'x',
      )}, or a real sample with --recipe`;
      o.report({
        severity: 'warning',
        code: 'SIZES_GUESSED',
        message: `sizes that the model leaves open were guessed: ${at.join(', ')}`,
        hint,
      });
      return feed;
    }
  }
  return fail(
    'MODEL_RUNTIME',
    `the model runs with no size that was tried for its open axes: ${refused?.message ?? ''}`,
    {},
    'give the sizes with --input-shape, or real samples with --recipe',
    refused,
  );
}

/** Tokens of a prompt; a model that takes fewer, or one at a time, is tried with these. */
const PROMPTS = [32, 8, 1] as const;

/** A prompt of random tokens with an empty past, or with one of the size that is given. */
async function languageBench(session: Session, inputs: readonly ValueInfo[], o: BenchFeedOptions): Promise<Feed> {
  const roles = rolesOf(inputs);
  let refused: QuantError | undefined;
  for (const tokens of PROMPTS) {
    const sizes = fixedSizes(inputs, roles, { batch: o.batch, tokens, past: 0, encoder: tokens });
    try {
      const feed = randomFeed(inputs, 0, tokens, sizes);
      await session.run(feed);
      if (sizes.tokens === tokens) tellPrompt(inputs, sizes, o.report);
      return feed;
    } catch (error) {
      if (!(error instanceof QuantError)) throw error;
      refused ??= error;
    }
  }
  return fail(
    'MODEL_RUNTIME',
    `the model runs on no prompt of random tokens: ${refused?.message ?? ''}`,
    {},
    'give the sizes with --input-shape, or real samples with --recipe',
    refused,
  );
}

function tellPrompt(inputs: readonly ValueInfo[], sizes: Sizes, report: BenchFeedOptions['report']): void {
  const { name } = item(inputs, 0);
  const past = sizes.past > 0 ? `${sizes.past} in the cache` : 'an empty cache';
  report({
    severity: 'warning',
    code: 'SIZES_GUESSED',
    message: `the model was run on a prompt of ${sizes.tokens} random tokens with ${past}`,
    where: { tensor: name },
    hint: `give the size with --input-shape ${name}=${sizes.batch}x128, or real text with --recipe`,
  });
}

/** The shape that is given, checked against that of the model; sizes of named axes are noted in `known`. */
function fitted(
  { name, shape }: ValueInfo,
  given: readonly (number | string | null)[] | undefined,
  known: Map<string, number>,
): ValueInfo['shape'] {
  if (!given) return shape;
  if (shape && (shape.length !== given.length || shape.some((d, i) => typeof d === 'number' && d !== given[i]))) {
    fail(
      'USAGE',
      `--input-shape gives '${name}' the shape [${given.join(', ')}], but the model takes ` +
        `[${shape.map((d) => d ?? '?').join(', ')}]`,
      { tensor: name },
    );
  }
  shape?.forEach((d, i) => {
    const size = given[i];
    if (typeof d === 'string' && typeof size === 'number') known.set(d, size);
  });
  return given;
}

async function firstSample(recipe: ResolvedRecipe, inputs: readonly ValueInfo[]): Promise<Feed> {
  const spec =
    recipe.recipe.evaluation.data ??
    recipe.recipe.calibration.data ??
    fail(
      'DATA_MISSING',
      'the recipe names no data to time with',
      {},
      'set evaluation.data, or give --input-shape instead',
    );
  // what it has to say is said where accuracy is measured
  const dataset = await openData(spec, inputs, recipe, () => undefined);
  for await (const {
    feeds: [feed],
  } of batches(dataset.samples({ limit: 1 }), { size: 1, inputs, padding: dataset.padding }))
    if (feed) return feed;
  return fail('DATA_MISSING', 'the data of the recipe hold no sample');
}
