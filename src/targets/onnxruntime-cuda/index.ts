import { onnxruntimeCpu } from '../onnxruntime-cpu/index.js';
import type { Target } from '../types.js';

const SOURCE = 'https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html';

/** No 8-bit kernels for convolutions and products of activations: Q/DQ pairs would run as operators of their own. */
export const onnxruntimeCuda = {
  ...onnxruntimeCpu,
  name: 'onnxruntime-cuda',
  aliases: ['cuda', 'gpu'],
  doc: 'ONNX Runtime, CUDA execution provider: float16 and weights of few bits. Numbers are simulated in onnxruntime.',
  source: SOURCE,
  host: 'simulated',
  hardware: 'NVIDIA GPUs',
  formats: ['float16', 'weight-only'],
  u8s8: 'exact',
  integerOps: {},
  passthroughOps: [],
  onCodes: [],
  byteCodes: [],
  ownOps: onnxruntimeCpu.ownOps.filter((o) => /:(MatMulNBits|GroupQueryAttention)$/.test(o.op)),
  usage: [
    {
      language: 'Python',
      code: [
        'import onnxruntime as ort',
        "session = ort.InferenceSession('{model}', providers=['CUDAExecutionProvider'])",
        'outputs = session.run(None, {session.get_inputs()[0].name: x})',
      ],
    },
  ],
  quirks: [
    {
      code: 'NO_INT8_KERNELS',
      text:
        'The provider has no int8 kernels for convolutions and products: Q/DQ pairs run as operators of ' +
        'their own and make ' +
        'models slower. For int8 on NVIDIA GPUs there is the target of TensorRT.',
      source: SOURCE,
    },
  ],
} satisfies Target;
