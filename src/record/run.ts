/**
 * RunRecord: everything that a run measured and decided, as plain JSON. Reports, comparisons and gates read this and
 * nothing else. Numbers are in the units that the names say; ratios are quantized ÷ float; absent means not measured.
 */
import { z } from 'zod';
import { compressionSpec } from './compression.js';
import { evaluationSpec } from './evaluation.js';
import { gateSpec } from './gate.js';
import { generationSpec } from './generation.js';
import { latencySpec } from './latency.js';
import { graphSpec, layersSpec, nodeSpec, pointSpec, runtimeSpec, sensitivitySpec } from './layers.js';
import { layoutSpec } from './layout.js';
import { mixedSpec } from './mixed.js';
import { count, diagnosticSpec, environmentSpec, modelSpec, stageSpec, text, type Deep } from './parts.js';
import { searchSpec } from './search.js';
import { lowRankSpec } from './low-rank.js';
import { sparsitySpec } from './sparsity.js';
import { targetSpec } from './target.js';
import { trainingSpec } from './training.js';
import { transportSpec } from './transport.js';

export const calibrationSpec = z.object({
  samples: count,
  batches: count,
  tensors: count,
  observer: text,
  cache: z.enum(['off', 'miss', 'hit', 'resumed']),
  data: z.unknown(),
  sampling: text,
  nonFinite: z.array(z.object({ tensor: text, sample: text, nan: count, inf: count })),
  skippedSamples: count,
  overlapWithEvaluation: z.array(z.tuple([text, text])).describe('Ids of equal contents: calibration, evaluation.'),
});
export type CalibrationFacts = Deep<z.output<typeof calibrationSpec>>;

export const fileSpec = z.object({
  path: text.describe('Relative to the output folder.'),
  bytes: z.number(),
  sha256: text,
  role: z
    .enum(['model', 'sidecar'])
    .optional()
    .describe('Models are what a runtime loads, and what size limits weigh; sidecars go with them. Absent: model.'),
});

export const runRecordSpec = z
  .object({
    schema: z.literal(1),
    quantbench: text,
    startedAt: text.describe('ISO 8601, UTC.'),
    durationMs: z.number(),
    outcome: z.enum(['ok', 'failed']),
    recipe: z.object({
      name: text,
      file: text.optional(),
      resolved: z.unknown().describe('Every key with its value after defaults and flags.'),
      yaml: text.describe('The same as YAML, to run again.'),
      plugins: z
        .array(
          z.object({
            file: text.describe('Relative to the folder of the recipe.'),
            sha256: text,
            adds: z.array(text).describe('Such as `observer mean`.'),
          }),
        )
        .optional()
        .describe("The modules of the recipe's own."),
    }),
    environment: environmentSpec,
    seeds: z.record(z.string(), z.number()),
    model: z.object({ float: modelSpec, quantized: modelSpec.optional() }),
    stages: z.array(stageSpec),
    passes: z.array(z.object({ pass: text, changes: count, nodesBefore: count, nodesAfter: count })),
    calibration: calibrationSpec.optional(),
    points: z.array(pointSpec),
    nodes: z.array(nodeSpec),
    graph: graphSpec.optional(),
    runtime: runtimeSpec.optional(),
    evaluation: evaluationSpec.optional(),
    latency: latencySpec.optional(),
    generation: generationSpec.optional(),
    layers: layersSpec.optional(),
    sensitivity: sensitivitySpec.optional(),
    gate: gateSpec.optional(),
    search: searchSpec.optional(),
    mixed: mixedSpec.optional(),
    compression: compressionSpec.optional(),
    sparsity: sparsitySpec.optional(),
    lowRank: lowRankSpec.optional(),
    training: trainingSpec.optional(),
    transport: transportSpec.optional(),
    target: targetSpec.optional(),
    layout: layoutSpec.optional(),
    diagnostics: z.array(diagnosticSpec),
    files: z.array(fileSpec),
  })
  .describe('What one run of quantbench decided and measured.');
// An interface, so that messages and the API reference name it.
// eslint-disable-next-line @typescript-eslint/no-empty-object-type
export interface RunRecord extends Deep<z.output<typeof runRecordSpec>> {}
