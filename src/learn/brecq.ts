import { z } from 'zod';
import { gptq } from '../codes/gptq.js';
import type { WeightMethod } from '../codes/types.js';
import { BLOCKS } from './blocks.js';
import { BlockLearner } from './run.js';

const options = z.strictObject({
  blocks: z.enum(BLOCKS).default('block').describe('What is learned together.'),
  iterations: z.number().int().min(0).default(100).describe('Steps for each block.'),
  finish: z.number().int().min(0).default(0).describe('Steps for all.'),
  batch: z.number().int().positive().default(32).describe('Samples of a step.'),
  rate: z.number().positive().default(0.02).describe('Learning rate.'),
  qdrop: z.number().min(0).max(1).default(0).describe('Drop.'),
  scales: z.boolean().default(true).describe('Scales too.'),
  codes: z.boolean().default(true).describe('Codes too.'),
  seed: z.number().int().min(0).default(0).describe('Seed.'),
});

export const brecq = {
  name: 'brecq',
  doc: 'Learns.',
  options,
  inputs: 'required',
  solve: (problem) => gptq.solve(problem, gptq.options.parse({})),
  refine: (all, layers, o) => new BlockLearner(all, layers, o),
} satisfies WeightMethod<z.output<typeof options>>;
