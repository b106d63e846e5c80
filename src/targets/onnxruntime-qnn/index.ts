import { onnxruntimeCpu } from '../onnxruntime-cpu/index.js';
import type { Target } from '../types.js';

const SOURCE = 'https://onnxruntime.ai/docs/execution-providers/QNN-ExecutionProvider.html';

/** Every operator stands between its own Q/DQ pairs ("node units"); nothing is written on codes. */
export const onnxruntimeQnn = {
  ...onnxruntimeCpu,
  name: 'onnxruntime-qnn',
  aliases: ['qnn', 'npu', 'htp'],
  doc: 'ONNX Runtime, QNN execution provider on the HTP: 16-bit activations. Numbers are simulated in onnxruntime.',
  source: SOURCE,
  host: 'simulated',
  hardware: 'Qualcomm Hexagon NPUs',
  formats: ['qdq', 'float16'],
  maxOpset: 22,
  defaults: {
    activations: { dtype: 'uint16', symmetric: false },
    weights: { dtype: 'int8', symmetric: true },
    weightGranularity: 'channel',
  },
  u8s8: 'exact',
  ports: {
    activation: { types: ['uint16', 'uint8'], granularity: ['tensor'] },
    weight: { types: ['int8', 'uint8'], granularity: ['tensor', 'axis'] },
  },
  onCodes: [],
  byteCodes: [],
  ownOps: [],
  usage: [
    {
      language: 'Python',
      code: [
        'import onnxruntime as ort',
        "options = {'backend_path': 'QnnHtp.dll'}",
        "session = ort.InferenceSession('{model}', providers=[('QNNExecutionProvider', options)])",
      ],
    },
  ],
  quirks: [
    {
      code: 'FIXED_SIZES',
      text:
        'The provider takes graphs of fixed sizes only: give open axes of the inputs a number before ' +
        'you ship the model.',
      source: SOURCE,
    },
  ],
} satisfies Target;
