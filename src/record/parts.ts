/** Pieces that the parts of a record share. */
import { z } from 'zod';

/** The type of a checked record: as zod infers it, and read-only throughout. */
export type Deep<T> = T extends object ? { readonly [K in keyof T]: Deep<T[K]> } : T;

export const count = z.number().int().min(0);
export const interval = z.tuple([z.number(), z.number()]);
export const text = z.string();
const shape = z.array(z.union([z.number(), z.string(), z.null()]));

export const diagnosticSpec = z.object({
  severity: z.enum(['error', 'warning', 'note']),
  code: text,
  message: text,
  where: z
    .object({
      file: text.optional(),
      line: z.number().optional(),
      column: z.number().optional(),
      offset: z.number().optional(),
      node: text.optional(),
      tensor: text.optional(),
      sample: text.optional(),
    })
    .optional(),
  hint: text.optional(),
});

export const environmentSpec = z
  .object({
    node: text,
    onnxruntime: text,
    platform: text,
    arch: text,
    cpu: text,
    cores: count,
    memoryBytes: z.number(),
    cpuFeatures: z
      .array(text)
      .describe(
        'Instruction sets that decide integer speed and accuracy: avx2, avx512f, avx512_vnni, avx_vnni, ' +
          'amx_int8, neon, dotprod…',
      ),
  })
  .describe('What of the machine decides integer speed and accuracy.');
export type Environment = Deep<z.output<typeof environmentSpec>>;

export const storedSpec = z.object({
  name: text,
  dtype: text,
  bytes: z.number(),
  op: text.describe('The op that reads it.'),
});
export type StoredTensor = Deep<z.output<typeof storedSpec>>;
const port = z.object({ name: text, dtype: text, shape });
export const modelSpec = z.object({
  name: text,
  sha256: text,
  bytes: z.number().describe('External data included.'),
  parameters: count,
  nodes: count.describe('Constants not counted.'),
  opset: count,
  irVersion: count,
  macs: z.number().optional().describe('Multiply-accumulates for one sample.'),
  inputs: z.array(port),
  outputs: z.array(port),
  largest: z
    .array(storedSpec)
    .optional()
    .describe('The tensors that take most of the file, the largest first, at most 100.'),
  tensorBytes: z.number().optional().describe('All tensors together; the rest of the file is the graph.'),
});
export type ModelFacts = Deep<z.output<typeof modelSpec>>;

export const stageSpec = z.object({ name: text, ms: z.number(), summary: text });
export type Stage = Deep<z.output<typeof stageSpec>>;
