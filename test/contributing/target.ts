import { onnxruntimeCpu } from '../../src/targets/onnxruntime-cpu/index.js';
import type { TargetProfile } from '../../src/scheme/profile.js';

/** An accelerator that takes QDQ models with one signed scale for each weight. */
export const tinyNpu = {
  ...onnxruntimeCpu,
  name: 'tiny-npu',
  doc: 'An accelerator with int8 kernels for convolutions only. Numbers are simulated in onnxruntime.',
  source: 'https://example.com/tiny-npu/data-sheet',
  host: 'simulated',
  formats: ['qdq'],
  maxOpset: 17,
  u8s8: 'exact',
  defaults: {
    activations: { dtype: 'int8', symmetric: true },
    weights: { dtype: 'int8', symmetric: true },
    weightGranularity: 'tensor',
  },
  ports: {
    activation: { types: ['int8'], symmetric: true, granularity: ['tensor'] },
    weight: { types: ['int8'], symmetric: true, granularity: ['tensor'] },
  },
  beyondPorts: 'refused',
  fusions: ['Conv > Relu'],
  integerOps: { Conv: {} },
  passthroughOps: ['MaxPool', 'Reshape'],
  onCodes: [],
  byteCodes: [],
  ownOps: [],
  quirks: [],
} satisfies TargetProfile;
