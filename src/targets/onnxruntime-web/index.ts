import { onnxruntimeCpu } from '../onnxruntime-cpu/index.js';
import type { Target } from '../types.js';

const SOURCE = 'https://onnxruntime.ai/docs/tutorials/web/';

export const onnxruntimeWeb = {
  ...onnxruntimeCpu,
  name: 'onnxruntime-web',
  aliases: ['web', 'wasm', 'browser'],
  doc: 'ONNX Runtime Web, WebAssembly with SIMD, in browsers and Node. Numbers are simulated in onnxruntime.',
  source: SOURCE,
  host: 'simulated',
  hardware: 'browsers with WebAssembly SIMD',
  u8s8: 'exact',
  usage: [
    {
      language: 'JavaScript',
      code: [
        'import * as ort from "onnxruntime-web";',
        "const session = await ort.InferenceSession.create('{model}', { executionProviders: ['wasm'] });",
        'const outputs = await session.run({ [session.inputNames[0]]: tensor });',
      ],
    },
  ],
  quirks: [
    ...onnxruntimeCpu.quirks.filter((q) => !['U8S8_SATURATION', 'SIGNED_ACTIVATIONS'].includes(q.code)),
    {
      code: 'WASM_DEPTHWISE_SLOW',
      when: { plans: ['static'], integerOps: ['Conv'] },
      text:
        'Convolutions of few channels, such as depthwise ones, are slower in integers than in float in ' +
        'WebAssembly: a ' +
        'MobileNetV2 took 1.7 times the time of float, a ResNet-20 0.77 times. Time it in the browser ' +
        'before you ship it.',
      source: SOURCE,
    },
    {
      code: 'WASM_FEW_BITS_SLOW',
      when: { plans: ['weight-only'] },
      text:
        'Products with weights of 4 or 8 bits took three times the time of float in WebAssembly: they ' +
        'save bytes alone.',
      source: SOURCE,
    },
  ],
} satisfies Target;
