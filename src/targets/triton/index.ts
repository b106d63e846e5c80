import { onnxruntimeCpu } from '../onnxruntime-cpu/index.js';
import type { Target } from '../types.js';
import { BATCHES, emit } from './emit.js';

const SOURCE =
  'https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html';

/** Its ONNX Runtime backend loads what ONNX Runtime does; the folder is a model repository. */
export const triton = {
  ...onnxruntimeCpu,
  name: 'triton',
  aliases: ['tritoninferenceserver'],
  doc:
    'Triton Inference Server, ONNX Runtime backend on the CPU: a model repository, with batches by ' +
    'measured latency, and an ensemble that takes pixels where the recipe says how images are read.',
  source: SOURCE,
  hardware: 'x64 and ARM64 servers',
  artefact: 'files',
  formats: ['qdq', 'qoperator', 'dynamic', 'weight-only'],
  emitter: { precisions: ['float32'], timedBatches: BATCHES, refuses: () => [], emit },
  usage: [
    { language: 'Shell', code: ['tritonserver --model-repository=. # this folder'] },
    {
      language: 'Python',
      code: [
        'import tritonclient.http as http',
        "client = http.InferenceServerClient('localhost:8000')",
        "x = http.InferInput('INPUT', array.shape, 'FP32'); x.set_data_from_numpy(array)",
        "outputs = client.infer('{model}', [x])",
      ],
    },
  ],
  quirks: [
    ...onnxruntimeCpu.quirks,
    {
      code: 'UNSIGNED_CODES',
      text:
        'Whether the backend hands session options on is not known: models with int8 activations would ' +
        'stay partly float.',
      source: 'https://github.com/triton-inference-server/onnxruntime_backend',
    },
  ],
} satisfies Target;
