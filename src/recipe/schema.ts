/** The recipe: one zod schema gives types, defaults, checks, the published JSON Schema and docs/recipe.md. */
import { item } from '../base/lists.js';
import { z } from 'zod';
import { dataSpec } from '../data/spec.js';
import { LAYOUTS } from '../layouts/names.js';
import { adjustmentSpec, bytesSpec, metricSpec, namedParts, type NamedParts } from './parts.js';
import { distillSpec } from './distill-spec.js';
import { builtIn, type Plugins } from './plugins.js';
import { quantizeSpecOf } from './quantize-spec.js';
import { trainSpec } from './train-spec.js';
import { transportSpec } from './transport-spec.js';

const count = z.number().int().positive();

export const calibrationSpec = z.strictObject({
  data: dataSpec
    .describe(
      'Where the samples come from. Needed by the static formats, and by methods and adjustments that look at inputs. ' +
        'Default: those of train.',
    )
    .optional(),
  samples: count.default(512).describe('Most samples to use; all of them where there are fewer.'),
  batchSize: count
    .default(8)
    .describe(
      'Samples per run; a model with a fixed batch size overrides it. Does not change the statistics, except ' +
        'those of ema.',
    ),
  seed: z.number().int().min(0).default(0).describe('Seed of the sample order and of the histogram subsample.'),
  maxValuesPerSample: count
    .default(8192)
    .describe(
      'Most elements of a tensor that enter its histogram per sample; larger tensors are subsampled by a ' +
        'seeded stride. Minimum and maximum are always exact.',
    ),
  onNonFinite: z
    .enum(['fail', 'skip'])
    .default('fail')
    .describe('What a sample does that makes NaN or infinity inside the model: stop, or be left out and reported.'),
  maxMemory: bytesSpec
    .describe('Memory for observed tensors, such as 1.2 GB; with less, the data are passed over several times.')
    .optional(),
  threads: count.default(2).describe('Threads of onnxruntime during calibration, and of choosing codes by inputs.'),
  cache: z
    .union([z.boolean(), z.string().min(1)])
    .default(true)
    .describe(
      'Keeps statistics between runs, keyed by model, data and settings: true for .cache/quantbench beside the ' +
        'recipe, a folder, or false.',
    ),
});

export const evaluationSpec = z.strictObject({
  data: dataSpec
    .describe(
      'Samples to compare both models on, with labels where there are any. Default: the calibration data, ' +
        'which flatters.',
    )
    .optional(),
  samples: count.describe('Most samples to use. Default: all.').optional(),
  simulatedSamples: z
    .union([count, z.literal('all')])
    .default(200)
    .describe(
      'Most samples on which each of several runtimes that do not run here is simulated, or all. A run for one ' +
        'runtime takes all; `quantize verify` measures there on all.',
    ),
  batchSize: count.default(32).describe('Samples per run; a model with a fixed batch size overrides it.'),
  metrics: z
    .array(metricSpec)
    .describe('What to measure. Default: top1 for class labels, else only agreement and output error.')
    .optional(),
  searchShare: z
    .number()
    .min(0)
    .lt(1)
    .default(0)
    .describe(
      'Share of the samples, 0 to 1, that may choose between recipes (a sweep, compare) and is then left out ' +
        'of what is judged and gated. Which ones, their ids say.',
    ),
  threads: count.default(2).describe('Threads of onnxruntime during evaluation.'),
  collapse: z
    .union([z.literal(false), z.number().min(0).max(1)])
    .default(0.5)
    .describe(
      'Smallest share of samples on which both models must agree (outputs without classes: smallest cosine). ' +
        'Below it the run fails and no model is written; false keeps the model however far it is, unless it gives NaN ' +
        'or infinity where float does not.',
    ),
  layers: z
    .union([
      z.literal(false),
      z.strictObject({
        samples: count
          .default(16)
          .describe(
            'Samples to measure with; at most 8 where most tensors are large feature maps, of which a grid of ' +
              'elements is measured.',
          ),
      }),
    ])
    .prefault({})
    .describe(
      'Error of each tensor against the float model (SQNR, cosine, saturation, dead channels); false skips it.',
    ),
  sensitivity: z
    .union([
      z.literal(false),
      z.strictObject({
        samples: count.default(64).describe('Samples to measure with.'),
        measure: z
          .enum(['kl', 'loss'])
          .default('kl')
          .describe(
            'What to rank by where outputs are class scores: kl, the divergence from float, needs no labels; ' +
              'loss, the rise of the cross-entropy, needs labelled calibration data and ranks the cost in ' +
              'accuracy better. Other outputs: their relative squared error.',
          ),
      }),
    ])
    .default(false)
    .describe(
      'Measures each layer: quantizes it alone and ranks layers by how far the outputs move. Takes one run of ' +
        'the model over the samples for each layer; {} for the defaults.',
    ),
  profile: z
    .union([
      z.literal(false),
      z.strictObject({
        runs: count.default(30).describe('Profiled runs of each model.'),
      }),
    ])
    .prefault({})
    .describe(
      "Time of each node in both models, and whether onnxruntime's optimizations change the results; false skips both.",
    ),
  latency: z
    .union([
      z.literal(false),
      z.strictObject({
        runs: count
          .default(100)
          .describe(
            'Interleaved runs of each model that are counted; up to four times as many where the machine is busy.',
          ),
        warmup: z.number().int().min(0).default(10).describe('Runs before that are not counted.'),
        threads: count.default(1).describe('Threads of onnxruntime.'),
        batch: count.default(1).describe('Samples per run.'),
        memory: z
          .boolean()
          .default(true)
          .describe('Also loads and runs each model in a process of its own, for load time and peak memory.'),
      }),
    ])
    .prefault({})
    .describe('Latency of the float and the quantized model, run in turn; false skips it.'),
  generation: z
    .union([
      z.literal(false),
      z.strictObject({
        prompts: count.default(3).describe('Samples whose beginnings are continued.'),
        promptTokens: count.default(32).describe('Most tokens of a prompt; at most half of the sample.'),
        tokens: count.default(32).describe('Most tokens to make of each.'),
        seconds: z.number().positive().default(30).describe('No further token after so much time.'),
      }),
    ])
    .prefault({})
    .describe(
      'Of language models: the same prompts continued greedily by both, with the cache in use, and tokens per second ' +
        'of prefill and decode; false skips it.',
    ),
});

export const optimizeSpec = z
  .strictObject({
    enabled: z
      .boolean()
      .default(true)
      .describe(
        'Cleans the graph first: constants, shapes, BatchNormalization and biases are folded. Without it, ' +
          'unfolded parts stay float.',
      ),
    level: z
      .enum(['clean', 'basic', 'default', 'aggressive'])
      .default('clean')
      .describe(
        'Which passes: clean does what quantization needs; the others are those of `quantize optimize`, which ' +
          'also merge and fuse.',
      ),
    skip: z.array(z.string()).default([]).describe('Passes to leave out, by name.'),
    add: z
      .array(z.string())
      .describe('Passes to run after those of the level, by name, such as those of plug-ins.')
      .optional(),
  })
  .refine((o) => o.enabled || !o.add?.length, 'optimize.add names passes, and enabled: false runs none');

export const adjustSpec = z
  .array(adjustmentSpec)
  .default([])
  .describe('Changes of the float model before it is quantized, in this order.');

export const exportSpec = z
  .strictObject({
    layout: z
      .enum(LAYOUTS)
      .describe(
        'Also writes a folder of this name that the library loads: the model under its names, with configuration, ' +
          'tokenizer and model card. Recipes of a sweep share one where each has weights of another type.',
      )
      .optional(),
    from: z
      .string()
      .min(1)
      .describe(
        'With layout: the folder with config.json and the tokenizer of the float model. Default: that of the model, or ' +
          'the one above where it lies in `onnx/`.',
      )
      .optional(),
    externalData: z
      .enum(['auto', 'always'])
      .default('auto')
      .describe(
        'always: large tensors lie in data files beside the model, where runtimes map them. auto: so where one file ' +
          'could not hold them, or they are quantized while they are written.',
      ),
    shardSize: bytesSpec
      .describe('Most bytes of a data file, such as 2 GB: more make several. Default: one file.')
      .optional(),
  })
  .refine((e) => e.from === undefined || e.layout !== undefined, {
    path: ['from'],
    error: 'export.from says where the files of a layout come from, and export.layout names none',
  });

const compressSpecOf = ({ compression }: NamedParts) =>
  z
    .array(compression)
    .default([])
    .describe(
      'Makes the float model smaller, step after step in this order, before it is trained, adjusted and quantized. ' +
        'With `train` or `distill`, what is left is trained; the teacher is the model as it was.',
    );

/** The schema of recipes that may name what `plugins` has. */
export function recipeSpecOf(plugins: Plugins) {
  const parts = namedParts(plugins);
  return z.strictObject({
    version: z.literal(1).describe('Version of the recipe format.'),
    name: z.string().min(1).describe('Name of the run; default: the name of the recipe file.').optional(),
    model: z.string().min(1).describe('The float ONNX model. Paths are relative to the recipe.').optional(),
    // the list of targets is not empty
    target: parts.target.default(item(builtIn.targets, 0).name).describe('The runtime that the model will ship to.'),
    memory: bytesSpec
      .describe(
        'Memory that the run may take, such as 2 GB: larger weights are quantized some rows at a time, and what would ' +
          'open a model beyond it is left out and told of before the run starts; see docs/large-models.md.',
      )
      .optional(),
    plugins: z
      .array(z.string().min(1))
      .min(1)
      .describe(
        'JavaScript modules with observers, passes, weight methods, gates, targets, exporters and importances of your ' +
          'own, whose names may then be used; see docs/plugins.md. They run with your rights: name only modules you trust.',
      )
      .optional(),
    calibration: calibrationSpec.prefault({}).describe('Which data the ranges of activations come from.'),
    optimize: optimizeSpec.prefault({}).describe('What happens to the graph before quantization.'),
    compress: compressSpecOf(parts),
    train: trainSpec.describe('Training of the model before it is quantized; see docs/training.md.').optional(),
    distill: distillSpec
      .describe('A student that takes the place of the model and learns from it, as `train` says.')
      .optional(),
    adjust: adjustSpec,
    quantize: quantizeSpecOf(parts).prefault({}).describe('What is quantized and how.'),
    transport: transportSpec
      .describe(
        'Measures what the file weighs when it is sent compressed, and moves weights to values that compress better, ' +
          'within a limit of the error; see docs/transport.md.',
      )
      .optional(),
    export: exportSpec.prefault({}).describe('How the files of the model lie in the output folder.'),
    exports: z
      .array(parts.exporter)
      .describe('Files for runtimes that do not read the result as ONNX, written beside it.')
      .optional(),
    evaluation: evaluationSpec.prefault({}).describe('How the result is checked against the float model.'),
    gate: parts.gate.describe('Limits that the result must keep; the exit code tells whether it does.').optional(),
  });
}
/** With what is built in. */
export const recipeSpec = recipeSpecOf(builtIn);
/** A checked recipe, every default filled in. */
// An interface, so that messages and the API reference name it.
// eslint-disable-next-line @typescript-eslint/no-empty-object-type
export interface Recipe extends z.output<typeof recipeSpec> {}
/** A recipe as it is written. */
// An interface, so that messages and the API reference name it.
// eslint-disable-next-line @typescript-eslint/no-empty-object-type
export interface RecipeInput extends z.input<typeof recipeSpec> {}
