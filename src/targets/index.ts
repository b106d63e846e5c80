import { onnxruntimeCpu } from './onnxruntime-cpu.js';
import type { TargetProfile } from './types.js';

/** Every target, by name in recipes. */
export const targets: readonly TargetProfile[] = [onnxruntimeCpu];
