/** An accelerator whose kernels shift instead of multiplying: data only, in a recipe under `plugins`. */
export const targets = [
  {
    extends: 'onnxruntime-cpu',
    name: 'shift-npu',
    doc: 'An accelerator that shifts instead of multiplying. Numbers are simulated in onnxruntime.',
    source: 'https://example.com/shift-npu/data-sheet',
    host: 'simulated',
    hardware: 'shift-npu boards',
    formats: ['qdq'],
    maxOpset: 17,
    defaults: {
      activations: { dtype: 'int8', symmetric: true },
      weights: { dtype: 'int8', symmetric: true },
      weightGranularity: 'channel',
    },
    ports: {
      activation: { types: ['int8'], symmetric: true, granularity: ['tensor'] },
      weight: { types: ['int8'], symmetric: true, granularity: ['tensor', 'axis'] },
    },
    beyondPorts: 'refused',
    u8s8: 'exact',
    bias: 'float',
    scales: 'power-of-two',
    sameScale: ['Concat'],
    fusions: ['Conv > Relu'],
    integerOps: { Conv: {}, Add: {}, Concat: {} },
    passthroughOps: ['MaxPool', 'Reshape'],
    onCodes: [],
    byteCodes: [],
    ownOps: [],
    quirks: [],
  },
];
