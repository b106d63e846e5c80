/** Targets of plug-ins. */
import { z } from 'zod';
import { formats } from '../formats/index.js';
import { targets } from '../targets/index.js';
import type { TargetProfile } from '../scheme/profile.js';
import { base, shown, type Maker } from './plugin-base.js';

/** A target of a plug-in: whole, or what differs from the built-in one that it `extends`. */
export type TargetPlugin = Partial<TargetProfile> & Pick<TargetProfile, 'name' | 'doc'> & { readonly extends?: string };

const schemeSpec = z.strictObject({
  dtype: z.enum(['int8', 'uint8', 'int16', 'uint16', 'int4', 'uint4', 'int2', 'uint2']),
  symmetric: z.boolean(),
  narrow: z.boolean().optional(),
});
const sourced = { source: z.string().min(1) };
const portSpec = z.strictObject({
  types: z.array(z.enum(['int8', 'uint8', 'int16', 'uint16', 'int32', 'int4', 'uint4', 'int2', 'uint2'])).min(1),
  symmetric: z.boolean().optional(),
  narrow: z.boolean().optional(),
  granularity: z.array(z.enum(['tensor', 'axis', 'block'])).min(1),
});
const names = z.array(z.string());
const FUSION = /^\S+( \S+)* > \S+( \S+)*$/;
const targetSpec = z.strictObject({
  name: z.string(),
  aliases: z.array(z.string()).optional(),
  doc: z.string(),
  ...sourced,
  host: z.enum(['here', 'simulated']),
  hardware: z.string().default('not told'),
  artefact: z.literal('onnx').default('onnx'),
  formats: z.array(z.enum(formats.filter((f) => f.plan !== 'none').map((f) => f.name))).min(1),
  maxOpset: z.number().int().positive(),
  defaults: z.strictObject({
    activations: schemeSpec,
    weights: schemeSpec,
    weightGranularity: z.enum(['tensor', 'channel']),
  }),
  u8s8: z.enum(['pairs', 'any-pairs', 'exact']),
  ports: z.strictObject({ activation: portSpec, weight: portSpec }),
  beyondPorts: z.enum(['float', 'refused']),
  bias: z.enum(['int32', 'float']),
  scales: z.enum(['any', 'power-of-two']).optional(),
  sameScale: names.optional(),
  fixedOutputs: z
    .record(
      z.string(),
      z.array(
        z.strictObject({
          dtype: z.enum(['int8', 'uint8', 'int16', 'uint16']),
          scale: z.number().positive(),
          zeroPoint: z.number().int(),
        }),
      ),
    )
    .optional(),
  floatReads: z.enum(['codes', 'values']).optional(),
  zeroPointsBetween: names.optional(),
  quantizesFloat: names.optional(),
  fusedSums: z.array(z.string().regex(FUSION, 'expected: Conv Gemm > Add')).optional(),
  fusions: z.array(z.string().regex(FUSION, 'expected: Conv Gemm > Relu Clip')),
  integerOps: z.record(
    z.string(),
    z.strictObject({
      floatOutput: z.boolean().optional(),
      constantWeight: z.literal(true).optional(),
      channelAxes: z.number().int().min(0).optional(),
      activation: portSpec.optional(),
      weight: portSpec.optional(),
    }),
  ),
  passthroughOps: z.array(z.string()),
  onCodes: z.array(z.string()),
  byteCodes: z.array(z.string()),
  usage: z.array(z.strictObject({ language: z.string(), code: names })).optional(),
  ownOps: z.array(z.strictObject({ op: z.string().regex(/^[^:]+:[^:]+$/, 'expected domain:op'), ...sourced })),
  quirks: z.array(
    z.strictObject({
      code: z.string(),
      text: z.string(),
      ...sourced,
      rules: names.optional(),
      when: z
        .strictObject({
          plans: names.optional(),
          activations: names.optional(),
          integerOps: names.optional(),
          dequantized: z
            .strictObject({ ops: names.optional(), types: names.optional(), inputsFirst: z.literal(true).optional() })
            .optional(),
          batchedChannels: z.literal(true).optional(),
          beyondPorts: z.literal(true).optional(),
        })
        .optional(),
    }),
  ),
});

export const readTarget: Maker<TargetProfile> = (given, says) => {
  const { name } = base(given, says);
  const { extends: from, ...own }: Record<string, unknown> = { ...(given as object) }; // base() found a name in it
  const parent = targets.find((t) => t.name === from);
  if (from !== undefined && !parent) {
    return says(`extends ${shown(from)}, which is no target`, `targets: ${targets.map((t) => t.name).join(', ')}.`);
  }
  // Files and adapters of the parent are its own.
  const { emitter: _emitter, adapter: _adapter, ...profile } = { ...parent, artefact: 'onnx' };
  const parsed = targetSpec.safeParse({ ...profile, ...own });
  if (!parsed.success) {
    const wrong = parsed.error.issues
      .slice(0, 5)
      .map((i) => `${i.path.join('.') || name}: ${i.message}`)
      .join('; ');
    return says(
      `is not a target: ${wrong}`,
      'give all that a target has, or extends: onnxruntime-cpu and what differs.',
    );
  }
  return parsed.data as TargetProfile; // the same; zod adds undefined to optional keys
};
