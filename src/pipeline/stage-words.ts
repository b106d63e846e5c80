/** What each stage does for a recipe, and why: what it says told apart from what are defaults. */
import { byName, item } from '../base/lists.js';
import { adjustments } from '../adjust/index.js';
import { compressions } from '../compress/index.js';
import { formats } from '../formats/index.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import { codings } from '../scheme/codings/index.js';

export interface Setting {
  readonly key: string;
  readonly value: unknown;
  /** Whether the recipe or a flag says so. */ readonly said: boolean;
}
export interface Told {
  /** One or two sentences. */ readonly does: string;
  readonly why: string;
  readonly settings: readonly Setting[];
}
/** A recipe that is told about. */
export interface Subject extends Pick<ResolvedRecipe, 'recipe' | 'plugins'> {
  /** Every key that holds a value. */ readonly settings: readonly Setting[];
  /** Which entry of `adjust` or `compress`, in its stage. */ readonly change: number;
}

const formatOf = ({ recipe }: Subject): (typeof formats)[number] => byName(formats, recipe.quantize.format);

/** Settings under a key, without some. */
function under({ settings }: Subject, prefix: string, ...without: readonly string[]): Setting[] {
  const within = (key: string, p: string): boolean => key === p || key.startsWith(`${p}.`);
  return settings.filter(({ key }) => within(key, prefix) && !without.some((w) => within(key, w)));
}

const lengthOf = ({ recipe: { train: t } }: Subject): string =>
  t?.steps === undefined ? `for ${t?.epochs ?? 10} epochs` : `for ${t.steps} steps`;

const granularity = (g: 'tensor' | 'channel' | { readonly block: number }): string =>
  typeof g === 'object' ? `block of ${g.block}` : g;

export const tell = {
  compress: (s: Subject): Told => ({
    does: byName(compressions, item(s.recipe.compress, s.change).name).doc,
    why:
      s.recipe.compress.length === 1
        ? 'the recipe lists it in `compress`'
        : `step ${s.change + 1} of ${s.recipe.compress.length} in \`compress\`: each sees what those before it left`,
    settings: under(s, `compress[${s.change}]`),
  }),
  train: (s: Subject): Told => ({
    does: `Trains ${s.recipe.train?.start === 'random' ? 'the model from drawn weights' : 'the weights of the model on'}, as it is in the file, ${lengthOf(s)}.`,
    why:
      '`train` is set: everything after it sees the trained model, and accuracy is compared with the ' +
      'one in the file',
    settings: under(s, 'train'),
  }),
  distill: (s: Subject): Told => {
    const { teacher, student, soft } = s.recipe.distill ?? {};
    const { width, depth, replace, model } = student ?? {};
    const parts = [
      ...(width === undefined ? [] : [`${100 * width} % of the channels`]),
      ...(depth === undefined ? [] : [`${100 * depth} % of the residual blocks`]),
      ...(replace === undefined ? [] : [`${replace} convolutions`]),
    ];
    const who =
      model ?? (parts.length ? `of the teacher with ${parts.join(', ')}` : 'of the teacher with drawn weights');
    return {
      does:
        `Trains a student, ${who}, ${lengthOf(s)}` +
        `${soft === undefined || soft === false ? '' : ` on the teacher's scores at temperature ${soft.temperature}`}` +
        `${teacher?.finetune ? '; the teacher is trained on the same samples first' : ''}.`,
      why: '`distill` is set: the student takes the place of the model, which accuracy is compared with',
      settings: [...under(s, 'distill'), ...under(s, 'train')],
    };
  },
  optimise: (s: Subject): Told => ({
    does: s.recipe.optimize.enabled
      ? 'Folds constants, BatchNormalization and biases into weights and takes nodes away that do nothing.'
      : 'Leaves the graph as it is.',
    why: s.recipe.optimize.enabled
      ? 'what is folded is quantized once, inside the weights; outputs stay'
      : '`optimize.enabled` is false',
    settings: under(s, 'optimize'),
  }),
  adjust: (s: Subject): Told => ({
    does: byName(adjustments, item(s.recipe.adjust, s.change).name).doc, // each change is told about with its place
    why:
      s.recipe.adjust.length === 1
        ? 'the recipe lists it in `adjust`'
        : `change ${s.change + 1} of ${s.recipe.adjust.length} in \`adjust\`: each sees what those before it made`,
    settings: under(s, `adjust[${s.change}]`),
  }),
  budget: (s: Subject): Told => ({
    does:
      'Quantizes each layer alone with each choice, measures how far the outputs move, and gives each ' +
      'layer the choice that keeps the sum of the losses least within the budget.',
    why: '`quantize.budget` is set',
    settings: under(s, 'quantize.budget'),
  }),
  plan: (s: Subject): Told => {
    const format = formatOf(s);
    return {
      does: format.doc,
      why: whyPlan(s),
      settings: [
        ...under(s, 'target'),
        ...under(
          s,
          'quantize',
          'quantize.budget',
          'quantize.activations.observer',
          'quantize.weights.method',
          'quantize.weights.correct',
          'quantize.weights.lowRank',
          'quantize.weights.match',
          'quantize.weights.samples',
          'quantize.weights.damping',
          ...(format.plan === 'coded' ? ['quantize.activations', 'quantize.weights'] : ['quantize.coding']),
          ...(format.plan === 'static'
            ? ['quantize.dynamicConv', 'quantize.embeddings', 'quantize.weightOnly']
            : ['quantize.activations']),
        ),
      ],
    };
  },
  calibrate: (s: Subject): Told => {
    const observer = byName(s.plugins.observers, s.recipe.quantize.activations.observer.name);
    return {
      does:
        `Runs the float model on at most ${s.recipe.calibration.samples} samples and chooses the range of each ` +
        `activation by ${observer.name}: ${observer.doc}`,
      why:
        formatOf(s).plan === 'static'
          ? 'static formats write the ranges of activations into the model'
          : 'ranges tell which layers leave those of the type; they stay float32',
      settings: [...under(s, 'calibration'), ...under(s, 'quantize.activations.observer')],
    };
  },
  sensitivity: (s: Subject): Told => ({
    does: 'Quantizes one layer at a time and ranks them by how far the outputs move.',
    why: '`evaluation.sensitivity` is set',
    settings: under(s, 'evaluation.sensitivity'),
  }),
  weights: (s: Subject): Told => {
    const { weights: w } = s.recipe.quantize;
    if (formatOf(s).plan === 'coded')
      return {
        does:
          'Measures the mean square of the input that each weight is multiplied with, and chooses shared ' +
          'values by it.',
        why: '`quantize.coding` says that the error of a weight counts by its input',
        settings: ['samples', 'correct'].flatMap((key) => under(s, `quantize.weights.${key}`)),
      };
    return {
      does: [
        byName(s.plugins.weightMethods, w.method.name).doc,
        ...(w.lowRank ? [`Adds a term of rank ${w.lowRank.rank} to each product for what its codes lose.`] : []),
        ...(w.correct.length ? [`Corrects ${w.correct.join(' and ')} of each layer for what its weights cost.`] : []),
      ].join(' '),
      why: 'layer after layer, on the inputs that the quantized layers before it really give',
      settings: ['method', 'correct', 'match', 'samples', 'damping'].flatMap((key) =>
        under(s, `quantize.weights.${key}`),
      ),
    };
  },
  qat: (s: Subject): Told => ({
    does:
      'Trains weights, biases and step sizes while every step computes with weights and activations rounded as the ' +
      'quantized model does.' +
      (s.recipe.distill
        ? ` It learns from the teacher${s.recipe.distill.teacher.finetune ? ', trained on the same samples first' : ''}.`
        : '') +
      (s.recipe.train?.control ? ' Then trains the float model the same way, to hold the result against.' : ''),
    why: '`train.quantized` is set: what few bits cost, training wins back',
    settings: [...(s.recipe.distill ? under(s, 'distill') : []), ...under(s, 'train')],
  }),
  transport: (s: Subject): Told => {
    const { codec, error, left } = s.recipe.transport ?? {};
    return {
      does:
        error === 0
          ? 'Measures what the file weighs when it is sent compressed.'
          : `Moves weights to values that ${codec ?? 'a codec'} makes less of, ` +
            (left === undefined ? 'as far as the error may be' : `until ${100 * left} % of the size are left`) +
            ', and measures what the file weighs when it is sent compressed.',
      why: '`transport` is set: what is sent is the compressed file',
      settings: under(s, 'transport'),
    };
  },
  quantize: (s: Subject): Told => ({
    does: `Writes the model in ${formatOf(s).name} form.`,
    why: formatOf(s).plan === 'static' ? 'the runtime fuses it into integer kernels' : 'no calibration is needed',
    settings: [],
  }),
  evaluate: (s: Subject): Told => ({
    does: s.recipe.evaluation.data
      ? 'Runs both models on the evaluation samples: metrics, agreement, output error.'
      : s.recipe.calibration.data
        ? 'Runs both models on the calibration samples, which flatters.'
        : 'Loads and runs the model once: there are no data.',
    why: 'a model that loads and is wrong must not ship',
    settings: under(
      s,
      'evaluation',
      'evaluation.latency',
      'evaluation.generation',
      'evaluation.layers',
      'evaluation.profile',
      'evaluation.sensitivity',
    ),
  }),
  layers: (s: Subject): Told => ({
    does: 'Measures the error of each tensor against float.',
    why: 'tells where accuracy is lost',
    settings: under(s, 'evaluation.layers'),
  }),
  verify: (s: Subject): Told => ({
    does: 'Reads from the graph that onnxruntime optimized which nodes run in integers.',
    why: 'a plan is no proof',
    settings: under(s, 'evaluation.profile'),
  }),
  generate: (s: Subject): Told => ({
    does: 'Continues the same prompts greedily with both models, the cache in use, and times prefill and decode in turn.',
    why: 'the data are texts: where the model continues text, what it writes says more than a number',
    settings: under(s, 'evaluation.generation'),
  }),
  latency: (s: Subject): Told => ({
    does: 'Times both models in turn.',
    why: 'small is not always fast',
    settings: under(s, 'evaluation.latency'),
  }),
  emit: (s: Subject): Told => ({
    does: `Writes what ${s.recipe.target} loads, and how a program does that.`,
    why: 'no file serves all runtimes',
    settings: under(s, 'target'),
  }),
  layout: (s: Subject): Told => ({
    does: `Writes the folder ${s.recipe.export.layout ?? ''}, as its library loads it.`,
    why: 'names, configuration and tokenizer are looked for where each library wants them',
    settings: under(s, 'export'),
  }),
};

function whyPlan(s: Subject): string {
  const { quantize: q, target: targetName } = s.recipe;
  const { defaults, name } = byName(s.plugins.targets, targetName);
  const { plan } = formatOf(s);
  const weights =
    `weights ${q.weights.dtype ?? defaults.weights.dtype} per ` +
    `${granularity(q.weights.granularity ?? defaults.weightGranularity)}: ` +
    (q.weights.dtype === undefined ? `what ${name} runs fastest` : 'as the recipe says');
  const first =
    (plan === 'static' ? `activations ${q.activations.dtype ?? defaults.activations.dtype}, ` : '') +
    (plan === 'coded' ? byName(codings, q.coding.name).doc : weights);
  return [
    first,
    ...(q.layers.length ? [`${q.layers.length} entries for single layers`] : []),
    ...(q.exclude.length ? [`${q.exclude.length} filters keep nodes in float`] : []),
  ].join('; ');
}
