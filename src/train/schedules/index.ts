import { constant } from './constant.js';
import { cosine } from './cosine.js';
import { oneCycle } from './one-cycle.js';
import { step } from './step.js';
import type { Schedule } from './types.js';

/** Every schedule, by name. A new one is a line here. */
export const schedules: readonly Schedule[] = [constant, cosine, oneCycle, step];
