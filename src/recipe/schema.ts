/** The recipe: one zod schema gives types, defaults, checks, the published JSON Schema and docs/recipe.md. */
import { z } from 'zod';
import { dataSpec } from '../data/spec.js';
import { formats } from '../formats/index.js';
import { SOLVERS } from '../quantize/knapsack.js';
import { ROUNDINGS } from '../scheme/types.js';
import { adjustmentSpec, bytesSpec, codingSpec, filterSpec, metricSpec, namedParts, type NamedParts } from './parts.js';
import { builtIn, type Plugins } from './plugins.js';

/** What may be done about kernels that saturate. */
export const SATURATION = ['safe', 'reduce', 'allow'] as const;
export type SaturationRule = (typeof SATURATION)[number];

const count = z.number().int().positive();

export const calibrationSpec = z.strictObject({
  data: dataSpec
    .describe(
      'Where the samples come from. Needed by the static formats, and by methods and adjustments that look at inputs.',
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
  threads: count.default(2).describe('Threads of onnxruntime during calibration.'),
  cache: z
    .union([z.boolean(), z.string().min(1)])
    .default(true)
    .describe(
      'Keeps statistics between runs, keyed by model, data and settings: true for .cache/quantbench beside the ' +
        'recipe, a folder, or false.',
    ),
});

/** The `quantize:` section. */
function quantizeSpecOf(parts: NamedParts) {
  const activationSpec = z.strictObject({
    dtype: z
      .enum(['uint8', 'int8', 'uint16', 'int16'])
      .describe('Type of the codes. Default: what the target runs fastest.')
      .optional(),
    symmetric: z.boolean().describe('Zero point fixed at the middle. Default: that of the target.').optional(),
    narrow: z.boolean().default(false).describe('Leaves the lowest code unused: −127..127 instead of −128..127.'),
    granularity: z
      .enum(['tensor', 'channel'])
      .default('tensor')
      .describe('One scale per tensor, or one per channel (axis 1). Runtimes have integer kernels for tensor only.'),
    observer: parts.observer.prefault('minmax').describe('How the range is chosen from what calibration saw.'),
  });

  const weightSpec = z
    .strictObject({
      dtype: z
        .enum(['int8', 'uint8', 'int16', 'uint16', 'int4', 'uint4', 'int2', 'uint2'])
        .describe('Type of the codes. Default: what the target runs fastest.')
        .optional(),
      bits: z
        .number()
        .int()
        .min(2)
        .max(16)
        .describe(
          'Uses only so many bits of the type: int8 with bits: 4 has sixteen levels. 8-bit types with 2 to 6 ' +
            'bits take no more than these in the file and are widened when the model is loaded, so that integer ' +
            'kernels run on them; so do all types in blocks with format: weight-only. Other types keep their ' +
            'size.',
        )
        .optional(),
      saturation: z
        .enum(SATURATION)
        .describe(
          'What is done about kernels of x64 CPUs without VNNI, which add two products of uint8 inputs and ' +
            'int8 weights in 16 bits. safe: where two neighbouring weights could saturate, their channel gets a ' +
            'slightly wider scale or they give way to the nearest codes that cannot; all others keep their 8 ' +
            'bits. reduce: 7 bits for all 8-bit weights. allow: nothing; the model loses accuracy on such CPUs. ' +
            'Default: safe where the target has such CPUs, else allow.',
        )
        .optional(),
      reduceRange: z
        .union([z.boolean(), z.literal('auto')])
        .describe('An older name: true is saturation: reduce, auto is saturation: safe, false leaves it to the target.')
        .optional(),
      symmetric: z.boolean().describe('Zero point fixed at the middle. Default: that of the target.').optional(),
      narrow: z.boolean().default(false).describe('Leaves the lowest code unused: −127..127 instead of −128..127.'),
      granularity: z
        .union([
          z.enum(['tensor', 'channel']),
          z.strictObject({ block: count.describe('Elements along the reduction axis that share a scale.') }),
        ])
        .describe(
          'One scale per tensor, per output channel, or per block of elements (opset 21). Default: that of the target.',
        )
        .optional(),
      observer: parts.observer.prefault('minmax').describe('How the range is chosen from the weights.'),
      rounding: z
        .enum(ROUNDINGS)
        .default('half-even')
        .describe('How weights are rounded to codes, with method: round. Runtimes round activations half to even.'),
      method: parts.method.prefault('round').describe('How the codes of weights are chosen.'),
      correct: z
        .array(z.enum(['bias', 'scale', 'expected-bias']))
        .default([])
        .describe(
          "What makes up for the error of a layer's weights: bias moves the mean of each output channel back " +
            'to that of the float model, scale does it for the standard deviation too (as BatchNormalization ' +
            'statistics measured again would); expected-bias is bias without samples, from the means that ' +
            'BatchNormalization says the inputs have. Costs nothing at run time.',
        ),
      match: z
        .enum(['float', 'layer'])
        .default('float')
        .describe(
          'What methods and corrections fit a layer to: float, the output in the float model, errors of ' +
            'earlier layers included; layer, what its float weights would give on the quantized inputs.',
        ),
      samples: count
        .default(256)
        .describe('Calibration samples that methods and corrections look at; each layer takes one pass over them.'),
      damping: z
        .number()
        .min(0)
        .default(0.01)
        .describe('Share of the mean input energy that is added to each input, against fitting noise.'),
    })
    .refine(
      (w) => w.saturation === undefined || w.reduceRange === undefined,
      'weights has saturation and its older name reduceRange: keep saturation',
    );

  const layerSpec = z.strictObject({
    match: filterSpec.describe('Which nodes: as in exclude.'),
    activations: z
      .strictObject({
        dtype: activationSpec.shape.dtype,
        symmetric: activationSpec.shape.symmetric,
        narrow: z.boolean().optional(),
        granularity: z.enum(['tensor', 'channel']).optional(),
        observer: parts.observer.optional(),
      })
      .describe('Of what the layer reads and makes.')
      .optional(),
    weights: z
      .strictObject({
        dtype: weightSpec.shape.dtype,
        bits: weightSpec.shape.bits,
        symmetric: weightSpec.shape.symmetric,
        narrow: z.boolean().optional(),
        granularity: weightSpec.shape.granularity,
        observer: parts.observer.optional(),
        rounding: z.enum(ROUNDINGS).optional(),
        method: parts.method.optional(),
      })
      .describe('As quantize.weights.')
      .optional(),
    coding: codingSpec.describe('As quantize.coding.').optional(),
  });

  const choiceSpec = z.union([z.literal('float').describe('Stays float.'), layerSpec.omit({ match: true })]);
  const budgetSpec = z
    .strictObject({
      sizeBytes: bytesSpec.describe('The file, such as 200 KB.').optional(),
      sizeRatio: z.number().positive().describe('The file ÷ that of the float model.').optional(),
      macBits: z
        .number()
        .positive()
        .describe(
          'Bits of the weight × bits of the activation, mean over the multiply-accumulates: 64 for int8, 1024 ' +
            'for float32.',
        )
        .optional(),
      latencyRatio: z
        .number()
        .positive()
        .describe("Kernel time ÷ that of the float model, by onnxruntime's profile.")
        .optional(),
      choices: z
        .array(choiceSpec)
        .min(2)
        .default([{ weights: { dtype: 'int8' } }, { weights: { dtype: 'int8', bits: 4 } }])
        .describe('What a layer may be: float, or settings as in quantize.layers without match.'),
      solver: z
        .enum(SOLVERS)
        .default('integer')
        .describe(
          'integer: the exact optimum of the sum of the losses. greedy: cheaper layer by layer, each time at ' +
            'the least loss for what is saved.',
        ),
      samples: count.default(32).describe('Calibration samples that the loss of each layer is measured with.'),
      measure: z.enum(['kl', 'loss']).default('kl').describe('As evaluation.sensitivity.measure.'),
    })
    .refine(
      (b) => [b.sizeBytes, b.sizeRatio, b.macBits, b.latencyRatio].filter((x) => x !== undefined).length === 1,
      'a budget has exactly one of sizeBytes, sizeRatio, macBits, latencyRatio',
    )
    .refine(
      (b) => new Set(b.choices.map((c) => JSON.stringify(c))).size === b.choices.length,
      'choices lists one twice',
    );

  return z.strictObject({
    format: z
      .enum(formats.map((f) => f.name) as [string, ...string[]])
      .default('qdq')
      .describe(`How the quantized model is written. ${formats.map((f) => `${f.name}: ${f.doc}`).join(' ')}`), // the list of formats is not empty
    activations: activationSpec
      .prefault({})
      .describe('How activations are quantized. Not used by format: dynamic, which measures them at run time.'),
    weights: weightSpec.prefault({}).describe('How weights are quantized.'),
    include: z
      .array(filterSpec)
      .default([])
      .describe('Only these nodes; empty means all that the target has integer kernels for.'),
    exclude: z
      .array(filterSpec)
      .default([])
      .describe(
        'Nodes that stay float: a name, a glob, re: and a regular expression, { opType }, or { position: first ' +
          '} or { position: last } for the first or last convolution or matrix product.',
      ),
    layers: z
      .array(layerSpec)
      .default([])
      .describe(
        'Other settings for single layers: { match: …, weights: { dtype: int4 } }. Entries hold in turn, the ' +
          'later over the earlier.',
      ),
    budget: budgetSpec
      .describe(
        'Mixed precision: each layer gets one of the choices, so that the sum of the measured losses is least ' +
          'within the budget. The resolved recipe has the result in quantize.layers.',
      )
      .optional(),
    weightOnly: z
      .array(filterSpec)
      .default([])
      .describe(
        'With format: dynamic, matrix products that compute in float from 8-bit weights: as small as the ' +
          'others, slower, but free of the error of 8-bit activations.',
      ),
    dynamicConv: z
      .boolean()
      .default(false)
      .describe('With format: dynamic, convolutions too (ConvInteger). Slower than float on CPUs.'),
    embeddings: z
      .union([z.boolean(), z.enum(['int8', 'uint8', 'int4', 'uint4', 'int2', 'uint2'])])
      .default(true)
      .describe(
        'Embedding tables: with format: qdq, qoperator and dynamic in int8 with one scale a row; with ' +
          'weight-only as the other weights, or in the type that is named.',
      ),
    standardOps: z
      .boolean()
      .default(false)
      .describe(
        'With format: weight-only, only operators of the ONNX standard (DequantizeLinear with blocks, opset ' +
          '21), even where the target has its own (MatMulNBits, GatherBlockQuantized).',
      ),
    accuracyLevel: z
      .union([z.literal(0), z.literal(1), z.literal(4)])
      .default(0)
      .describe(
        'With format: weight-only, attribute accuracy_level of MatMulNBits: 1 computes in float32, 4 quantizes ' +
          'the inputs to int8 while the model runs, faster and a little less exact; 0 says nothing, and ' +
          'onnxruntime takes float32.',
      ),
    coding: codingSpec.prefault('float16').describe('With format: coded, how weights are stored.'),
    rest: z
      .union([z.literal(false).describe('float32.'), codingSpec])
      .describe(
        'With format: qdq, qoperator or dynamic, how the weights that stay float are stored, such as those of ' +
          'recurrent cells. Default: float32; with dynamic integer, where the recipe does not exclude them and ' +
          'they have 4,096 elements or more. They are float32 again once the model is loaded, so that it costs ' +
          'no speed.',
      )
      .optional(),
    seed: z.number().int().min(0).default(0).describe('Seed of stochastic rounding.'),
  });
}

export const evaluationSpec = z.strictObject({
  data: dataSpec
    .describe(
      'Samples to compare both models on, with labels where there are any. Default: the calibration data, ' +
        'which flatters.',
    )
    .optional(),
  samples: count.describe('Most samples to use. Default: all.').optional(),
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
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe(
      'Smallest share of samples on which both models must agree (outputs without classes: smallest cosine). ' +
        'Below it the run fails and no model is written.',
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

/** The schema of recipes that may name what `plugins` has. */
export function recipeSpecOf(plugins: Plugins) {
  const parts = namedParts(plugins);
  return z.strictObject({
    version: z.literal(1).describe('Version of the recipe format.'),
    name: z.string().min(1).describe('Name of the run; default: the name of the recipe file.').optional(),
    model: z.string().min(1).describe('The float ONNX model. Paths are relative to the recipe.').optional(),
    target: parts.target.default(builtIn.targets[0]!.name).describe('The runtime that the model will ship to.'), // the list of targets is not empty
    plugins: z
      .array(z.string().min(1))
      .min(1)
      .describe(
        'JavaScript modules with observers, passes, weight methods, gates and targets of your own, whose names ' +
          'may then be used; see docs/plugins.md. They run with your rights: name only modules you trust.',
      )
      .optional(),
    calibration: calibrationSpec.prefault({}).describe('Which data the ranges of activations come from.'),
    optimize: optimizeSpec.prefault({}).describe('What happens to the graph before quantization.'),
    adjust: adjustSpec,
    quantize: quantizeSpecOf(parts).prefault({}).describe('What is quantized and how.'),
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
