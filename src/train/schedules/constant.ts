import { z } from 'zod';
import type { Schedule } from './types.js';

export const constant = {
  name: 'constant',
  doc: 'One rate from the first step to the last.',
  options: z.strictObject({}),
  factor: () => 1,
} as const satisfies Schedule<Record<string, never>>;
