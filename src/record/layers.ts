/** What was decided and measured tensor by tensor and node by node. */
import { z } from 'zod';
import { count, text, type Deep } from './parts.js';

const histogram = z.object({ low: z.number(), high: z.number(), counts: z.array(z.number()) });

export const pointSpec = z
  .object({
    name: text,
    role: z.enum(['activation', 'weight', 'bias']),
    kind: z.enum(['observed', 'fixed', 'shared', 'derived', 'coded', 'half', 'float']),
    because: text,
    dtype: text.optional(),
    symmetric: z.boolean().optional(),
    granularity: text.optional(),
    observer: text.optional(),
    observedMin: z.array(z.number()).optional().describe('What calibration saw.'),
    observedMax: z.array(z.number()).optional(),
    count: z.number().optional(),
    min: z.array(z.number()).optional().describe('What was chosen; per channel one entry a channel.'),
    max: z.array(z.number()).optional(),
    scale: z.array(z.number()).optional(),
    zeroPoint: z.array(z.number()).optional(),
    histogram: histogram
      .optional()
      .describe('At most 128 bins over [low, high]: of the observed values, or of the weights.'),
    clipped: z.number().optional().describe('Share of these values outside of the chosen range.'),
  })
  .describe('One quantization point: a tensor, or one edge of a node.');
export type PointFacts = Deep<z.output<typeof pointSpec>>;

export const nodeSpec = z
  .object({
    name: text,
    op: text,
    macs: z.number(),
    body: text
      .optional()
      .describe('The branch or body that holds it, such as `then_branch of if1`; its macs are not counted.'),
    planned: z.enum(['integer', 'float']),
    because: text.optional(),
    kernel: text.optional().describe('What onnxruntime made of it; absent where it cannot be told.'),
    ranInteger: z.boolean().optional(),
    reads: z.array(text).optional().describe('Names of the quantization points that it reads.'),
    makes: z.array(text).optional().describe('Names of the points that it makes, with what is fused into it.'),
  })
  .describe('A node with work of its own: where it was planned to run and where it ran.');
export type NodeFacts = Deep<z.output<typeof nodeSpec>>;

export const tensorErrorSpec = z.object({
  name: text.describe('Tensor of the float model.'),
  node: text.describe('The node that makes it.'),
  op: text,
  sqnrDb: z
    .number()
    .optional()
    .describe('10 log10(Σ float² ÷ Σ error²) against the float model; absent without error or signal.'),
  cosine: z.number(),
  saturated: z
    .number()
    .optional()
    .describe("Share of the quantized tensor's values at the lowest or highest code, zero aside."),
  channels: count.optional(),
  deadChannels: count
    .optional()
    .describe('Channels that never left zero in the quantized model though they do in the float model.'),
});
export type TensorError = Deep<z.output<typeof tensorErrorSpec>>;
export const layersSpec = z
  .object({ samples: count, tensors: z.array(tensorErrorSpec) })
  .describe('Error of each tensor, both models on the same samples.');
export type LayerErrors = Deep<z.output<typeof layersSpec>>;

export const sensitivitySpec = z
  .object({
    samples: count,
    measure: z
      .enum(['kl', 'loss', 'error'])
      .describe(
        'kl: mean KL divergence of the softmaxed outputs from float, in nats. loss: mean rise of the ' +
          'cross-entropy with the labels, in nats. error: Σ error² ÷ Σ float² of the outputs.',
      ),
    ms: z.number(),
    layers: z
      .array(
        z.object({
          node: text,
          op: text,
          macs: z.number(),
          score: z.number().describe('With only this node quantized.'),
          share: z.number().describe('Of the sum of the scores, 0…1.'),
        }),
      )
      .describe('Most sensitive first.'),
  })
  .describe('Measured: one layer quantized at a time.');
export type Sensitivity = Deep<z.output<typeof sensitivitySpec>>;

export const graphSpec = z
  .object({
    nodes: z.array(
      z.object({
        name: text,
        op: text,
        region: z.enum(['integer', 'float', 'moves']).describe('moves: shape and layout ops, which compute nothing.'),
      }),
    ),
    edges: z.array(z.tuple([count, count])).describe('Positions in nodes: from, to.'),
    shapes: z
      .array(text)
      .optional()
      .describe('Of the tensor on each edge, in their order, such as 1×64×56×56; empty where it is not known.'),
  })
  .describe('The float model after clean-up, by where its nodes run.');
export type GraphFacts = Deep<z.output<typeof graphSpec>>;

const profiledSpec = z.object({
  node: text.describe('Name in the optimized graph.'),
  op: text,
  us: z.number().describe('Median kernel time of a run, µs.'),
});
export const runtimeSpec = z
  .object({
    integerMacsShare: z.number(),
    ops: z.record(z.string(), count),
    unfused: z.array(text).describe('Quantize or dequantize nodes that stayed beside a float compute op.'),
    floatCompute: z.array(text),
    profile: z
      .object({
        runs: count,
        floatUs: z.number(),
        quantizedUs: z.number(),
        layers: z
          .array(z.object({ node: text, op: text, floatUs: z.number().optional(), quantizedUs: z.number().optional() }))
          .describe('Nodes of the float model, with the time of the kernels they became.'),
        rest: z
          .object({ float: z.array(profiledSpec), quantized: z.array(profiledSpec) })
          .describe('Kernels that belong to no such node: conversions, reorders.'),
      })
      .optional(),
    optimizations: z
      .object({
        samples: count,
        cosine: z.number(),
        maxAbsError: z.number(),
        sameTop: z.number().optional().describe('Share of samples with the same top class.'),
      })
      .optional()
      .describe("The quantized model with onnxruntime's optimizations on, against off."),
    saturation: z
      .object({
        risk: z
          .enum(['none', 'here', 'elsewhere'])
          .describe('here: this CPU adds pairs of products in 16 bits; elsewhere: CPUs without VNNI do.'),
        promised: z
          .boolean()
          .default(false)
          .describe('Whether the target has only CPUs that add exactly, so that no accuracy depends on the CPU.'),
        products: count.default(0).describe('Layers that multiply 8-bit inputs with int8 weights.'),
        layers: z.array(
          z.object({
            difference: z
              .number()
              .optional()
              .describe(
                '√(Σ (saturated − exact)² ÷ Σ exact²) of some results on one sample, by reckoning: what such a ' +
                  'CPU makes of the layer.',
              ),
            node: text,
            worst: z
              .number()
              .describe('Largest sum of two adjacent products by weight codes, ÷ 32767: above 1 can saturate.'),
            share: z.number().describe('Share of adjacent pairs that can.'),
          }),
        ),
      })
      .optional(),
  })
  .describe("Read from onnxruntime's own optimized graph and profile of the quantized model.");
export type RuntimeFacts = Deep<z.output<typeof runtimeSpec>>;
