/** The section `quantize` of a recipe. */
import { z } from 'zod';
import { formats } from '../formats/index.js';
import { STORES } from '../formats/sparse-weights.js';
import { SOLVERS } from '../quantize/knapsack.js';
import { ROUNDINGS } from '../scheme/types.js';
import { bytesSpec, codingSpec, filterSpec, type NamedParts } from './parts.js';

const count = z.number().int().positive();

/** What may be done about kernels that saturate. */
export const SATURATION = ['safe', 'reduce', 'allow'] as const;

export type SaturationRule = (typeof SATURATION)[number];

/** The `quantize:` section. */
export function quantizeSpecOf(parts: NamedParts) {
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
            'bits. reduce: 7 bits for all 8-bit weights; for runtimes whose kernels take any two weights of an output ' +
            'together, 8 bits where no two of them can saturate. allow: nothing; the model loses accuracy on such CPUs. ' +
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
      lowRank: z
        .strictObject({ rank: count.describe('Columns of the first and rows of the second small matrix.') })
        .describe(
          'With format: weight-only, what the codes of a matrix lose is made up for by two small products in float32 ' +
            'that are added to its own (LQER): along the directions in which its outputs err most on calibration ' +
            'samples; without them, those of the error itself. Costs rank · (rows + columns) floats and multiply-accumulates.',
        )
        .optional(),
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
      checkpoint: z
        .union([z.boolean(), z.string().min(1)])
        .describe(
          'Writes down the codes of layers that are done, so that a run that was stopped goes on behind them to the ' +
            'same bytes, and what layers are given, so that neither takes memory: true for .cache/quantbench beside ' +
            'the recipe, a folder, or false. Default: true for weights of more than 256 MB, or an eighth of `memory`.',
        )
        .optional(),
    })
    .refine(
      (w) => w.saturation === undefined || w.reduceRange === undefined,
      'weights has saturation and its older name reduceRange: keep saturation',
    );

  const tableSpec = z.union([z.boolean(), z.enum(['int8', 'uint8', 'int4', 'uint4', 'int2', 'uint2'])]);
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

  const whole = z.strictObject({
    format: z
      .enum(formats.map((f) => f.name) as [string, ...string[]])
      .default('qdq')
      // the list of formats is not empty
      .describe(`How the quantized model is written. ${formats.map((f) => `${f.name}: ${f.doc}`).join(' ')}`),
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
    dynamicRows: z
      .boolean()
      .describe(
        'With format: dynamic, products give each row of their inputs, a token, a scale of its own: tokens with huge ' +
          'activations, as language models have, cost the others nothing. A few more operators before each product. ' +
          'Default: true for language models, whose last product has as many outputs as an embedding table has rows.',
      )
      .optional(),
    embeddings: z
      .union([
        tableSpec,
        z.strictObject({
          table: tableSpec.default(true).describe('The embedding table.'),
          head: tableSpec
            .default(true)
            .describe('The product that gives a number for each of its rows; false keeps it in float.'),
        }),
      ])
      .default(true)
      .describe(
        'Embedding tables: with format: qdq, qoperator and dynamic in int8 with one scale a row; with weight-only as ' +
          'the other weights, or in the type that is named. The head of a language model, a product with as many ' +
          'outputs as the table has rows, goes with it; true stores both in 8 bits, and once where they are equal.',
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
    kvCache: z
      .strictObject({
        bits: z
          .union([z.literal(8), z.literal(4)])
          .default(8)
          .describe('Bits of a key or value.'),
        granularity: z
          .enum(['channel', 'tensor'])
          .default('channel')
          .describe('One scale for each channel of each head, or one for all of a cache.'),
        observer: z
          .enum(['minmax', 'mse'])
          .describe('How scales are chosen. Default: mse with 4 bits, else minmax.')
          .optional(),
      })
      .describe(
        'Keeps keys and values of earlier tokens in integers where GroupQueryAttention takes them: inputs past… and ' +
          'outputs present… become int8, or uint8 with two codes each. Attention spelled with MatMul and Softmax over ' +
          'a cache becomes that operator first. Scales from calibration samples, or from text that the model writes ' +
          'where the recipe names none.',
      )
      .optional(),
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
    store: z
      .enum(STORES)
      .describe(
        'How weights with many zeros lie in the file. dense: as they are. sparse: as sparse initializers, 8 bytes an ' +
          'index. mask: a bit for each place and the values that are not zero, put together once, when the model is ' +
          'loaded. auto: of each weight the smallest, where onnxruntime gives the same outputs. Costs no speed and saves ' +
          'none. Default: auto where a step of compress makes zeros, else dense.',
      )
      .optional(),
    seed: z.number().int().min(0).default(0).describe('Seed of stochastic rounding.'),
  });
  return whole.refine((q) => q.weights.lowRank === undefined || q.format === 'weight-only', {
    message: 'lowRank belongs to format: weight-only; set that, or leave lowRank out',
    path: ['weights', 'lowRank'],
  });
}
