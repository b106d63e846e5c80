/** What a recipe does, stage by stage, and why: what it says told apart from what are defaults. */
import { adjustments } from '../adjust/index.js';
import { fail } from '../base/errors.js';
import { formats } from '../formats/index.js';
import { isPlain } from '../recipe/override.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import { codings } from '../scheme/codings/index.js';
import { stagesOf } from './stages.js';

export interface Setting {
  readonly key: string;
  readonly value: unknown;
  /** Whether the recipe or a flag says so. */ readonly said: boolean;
}
export interface ExplainedStage {
  readonly name: string;
  /** One or two sentences. */ readonly does: string;
  readonly why: string;
  readonly settings: readonly Setting[];
}

/** The stages of a run in their order. Pure. */
export function explainRecipe({
  recipe,
  plugins: { observers, targets, weightMethods },
  written = {},
}: ResolvedRecipe): ExplainedStage[] {
  const { quantize: q, calibration: c, evaluation: e, optimize, adjust, gate } = recipe;
  const target = targets.find((t) => t.name === recipe.target)!; // the schema allows names of the lists only
  const format = formats.find((f) => f.name === q.format)!; // as above
  const all = settingsOf(recipe, written);
  const of = (prefix: string, ...without: readonly string[]): Setting[] =>
    all.filter(
      ({ key }) =>
        (key === prefix || key.startsWith(`${prefix}.`)) && !without.some((w) => key === w || key.startsWith(`${w}.`)),
    );
  const observer = observers.find((x) => x.name === q.activations.observer.name)!; // as above
  const isStatic = format.plan === 'static';
  const stage = (name: string, does: string, why: string, settings: readonly Setting[]): ExplainedStage => ({
    name,
    does,
    why,
    settings,
  });
  const explain = (name: string): ExplainedStage => {
    switch (name) {
      case 'optimise':
        return stage(
          name,
          optimize.enabled
            ? 'Folds constants, BatchNormalization and biases into weights and takes nodes away that do nothing.'
            : 'Leaves the graph as it is.',
          optimize.enabled
            ? 'what is folded is quantized once, inside the weights; outputs stay'
            : '`optimize.enabled` is false',
          of('optimize'),
        );
      case 'budget':
        return stage(
          name,
          'Quantizes each layer alone with each choice, measures how far the outputs move, and gives each ' +
            'layer the choice that keeps the sum of the losses least within the budget.',
          '`quantize.budget` is set',
          of('quantize.budget'),
        );
      case 'plan':
        return {
          name,
          does: format.doc,
          why: `${isStatic ? `activations ${q.activations.dtype ?? target.defaults.activations.dtype}, ` : ''}${format.plan === 'coded' ? codings.find((x) => x.name === q.coding.name)!.doc : `weights ${q.weights.dtype ?? target.defaults.weights.dtype} per ${granularity(q.weights.granularity ?? target.defaults.weightGranularity)}: ${q.weights.dtype === undefined ? `what ${target.name} runs fastest` : 'as the recipe says'}`}${q.layers.length ? `; ${q.layers.length} entries for single layers` : ''}${q.exclude.length ? `; ${q.exclude.length} filters keep nodes in float` : ''}`, // as above
          settings: [
            ...all.filter((s) => s.key === 'target'),
            ...of(
              'quantize',
              'quantize.budget',
              'quantize.activations.observer',
              'quantize.weights.method',
              'quantize.weights.correct',
              'quantize.weights.match',
              'quantize.weights.samples',
              'quantize.weights.damping',
              ...(format.plan === 'coded' ? ['quantize.activations', 'quantize.weights'] : ['quantize.coding']),
              ...(isStatic
                ? ['quantize.dynamicConv', 'quantize.embeddings', 'quantize.weightOnly']
                : ['quantize.activations']),
            ),
          ],
        };
      case 'calibrate':
        return {
          name,
          does:
            `Runs the float model on at most ${c.samples} samples and chooses the range of each activation by ` +
            `${observer.name}: ${observer.doc}`,
          why: 'static formats write the ranges of activations into the model',
          settings: [...of('calibration'), ...of('quantize.activations.observer')],
        };
      case 'sensitivity':
        return stage(
          name,
          'Quantizes one layer at a time and ranks them by how far the outputs move.',
          '`evaluation.sensitivity` is set',
          of('evaluation.sensitivity'),
        );
      case 'weights':
        return {
          name,
          does: [
            weightMethods.find((m) => m.name === q.weights.method.name)!.doc,
            ...(q.weights.correct.length
              ? [`Corrects ${q.weights.correct.join(' and ')} of each layer for what its weights cost.`]
              : []),
          ].join(' '),
          why: 'layer after layer, on the inputs that the quantized layers before it really give',
          settings: ['method', 'correct', 'match', 'samples', 'damping'].flatMap((key) =>
            of(`quantize.weights.${key}`),
          ),
        }; // as above
      case 'quantize':
        return stage(
          name,
          `Writes the model in ${format.name} form.`,
          isStatic ? 'the runtime fuses it into integer kernels' : 'no calibration is needed',
          [],
        );
      case 'evaluate':
        return {
          name,
          does: e.data
            ? 'Runs both models on the evaluation samples: metrics, agreement, output error.'
            : c.data
              ? 'Runs both models on the calibration samples, which flatters.'
              : 'Loads and runs the model once: there are no data.',
          why: 'a model that loads and is wrong must not ship',
          settings: of(
            'evaluation',
            'evaluation.latency',
            'evaluation.layers',
            'evaluation.profile',
            'evaluation.sensitivity',
          ),
        };
      case 'layers':
        return stage(
          name,
          'Measures the error of each tensor against float.',
          'tells where accuracy is lost',
          of('evaluation.layers'),
        );
      case 'verify':
        return stage(
          name,
          'Reads from the graph that onnxruntime optimized which nodes run in integers.',
          'a plan is no proof',
          of('evaluation.profile'),
        );
      case 'latency':
        return stage(name, 'Times both models in turn.', 'small is not always fast', of('evaluation.latency'));
      default:
        return fail('INTERNAL', `bug in quantbench: no words for stage ${name}`); // stagesOf gives no other
    }
  };
  const changes = adjust.map(({ name, ...options }, i) =>
    stage(
      name,
      adjustments.find((a) => a.name === name)!.doc,
      adjust.length === 1
        ? 'the recipe lists it in `adjust`'
        : `change ${i + 1} of ${adjust.length} in \`adjust\`: each sees what those before it made`,
      Object.entries(options).map(([key, value]) => ({
        key: `adjust[${i}].${key}`,
        value,
        said: saidIn(written, ['adjust', i, key]),
      })),
    ),
  ); // as above
  const [first, ...rest] = stagesOf(recipe);
  return [
    explain(first!),
    ...changes,
    ...rest.slice(changes.length).map(explain), // the first is always there; the changes follow it
    ...(gate
      ? [stage('gate', 'Judges the result by its limits; the exit code tells.', '`gate` is set', of('gate'))]
      : []),
  ];
}

const granularity = (g: 'tensor' | 'channel' | { readonly block: number }): string =>
  typeof g === 'object' ? `block of ${g.block}` : g;

/** Every key that holds a value, in the order of the schema. Lists and plug-ins count as one value. */
function settingsOf(recipe: object, written: Readonly<Record<string, unknown>>): Setting[] {
  const visit = (value: unknown, path: readonly string[]): Setting[] =>
    isPlain(value) && !('name' in value) && path.at(-1) !== 'data'
      ? Object.entries(value).flatMap(([key, v]) => visit(v, [...path, key]))
      : [{ key: path.join('.'), value, said: saidIn(written, path) }];
  return visit(JSON.parse(JSON.stringify(recipe)), []); // through JSON, which drops what is undefined
}

function saidIn(written: unknown, path: readonly (string | number)[]): boolean {
  let at = written;
  for (const part of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return false;
    at = (at as Record<string | number, unknown>)[part]; // any object may be indexed
  }
  return true;
}
