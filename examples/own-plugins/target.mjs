// @ts-check

/**
 * What it does not say is as in the target that it extends.
 * @type {import('quantbench').TargetPlugin}
 */
const tinyNpu = {
  name: 'tiny-npu',
  doc: 'An accelerator that takes QDQ models of opset 17 with one signed scale for each weight.',
  source: 'the data sheet of the accelerator, section 4',
  extends: 'onnxruntime-cpu',
  formats: ['qdq'],
  maxOpset: 17,
  u8s8: 'exact',
  defaults: {
    activations: { dtype: 'uint8', symmetric: false },
    weights: { dtype: 'int8', symmetric: true },
    weightGranularity: 'tensor',
  },
};

export const targets = [tinyNpu];
