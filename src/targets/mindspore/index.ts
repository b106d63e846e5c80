import { tensorrt } from '../tensorrt/index.js';
import type { Target } from '../types.js';
import { emit } from './emit.js';

const SOURCE = 'https://www.mindspore.cn/lite/docs/en/master/advanced/quantization.html';

/**
 * Its converter calibrates itself and takes no scales: it is given the float model, samples, and what
 * to leave alone.
 */
export const mindspore = {
  name: 'mindspore',
  aliases: ['mindsporelite', 'mslite'],
  doc:
    'MindSpore Lite: the float ONNX model, the configuration of its converter, and calibration samples. Numbers are ' +
    'simulated in onnxruntime.',
  source: SOURCE,
  host: 'simulated',
  hardware: 'ARM CPUs, and NPUs by target_device',
  artefact: 'files',
  formats: ['qdq', 'weight-only'],
  maxOpset: 17,
  defaults: tensorrt.defaults,
  u8s8: 'exact',
  ports: tensorrt.ports,
  beyondPorts: 'refused',
  bias: 'float',
  fusions: ['* > Relu Clip'],
  integerOps: {
    Conv: {},
    Gemm: {},
    MatMul: { channelAxes: 2 },
    Add: {},
    AveragePool: {},
    GlobalAveragePool: {},
    Concat: {},
  },
  passthroughOps: [
    'MaxPool',
    'Reshape',
    'Flatten',
    'Transpose',
    'Squeeze',
    'Unsqueeze',
    'Slice',
    'Split',
    'Relu',
    'Clip',
  ],
  onCodes: [],
  byteCodes: [],
  ownOps: [],
  emitter: {
    precisions: ['float32'],
    refuses: () => [],
    emit,
  },
  usage: [
    {
      language: 'Shell',
      code: [
        'converter_lite --fmk=ONNX --modelFile=model.onnx --outputFile=model --inputDataFormat=NCHW ' +
          '--configFile=quantize.cfg',
      ],
    },
  ],
  quirks: [
    {
      code: 'OWN_CALIBRATION',
      text:
        'The converter takes no external scales: it chooses its own on the samples that lie beside the model, by the ' +
        'method that comes nearest to the observer of the recipe. Accuracy there may differ from what was simulated.',
      source: SOURCE,
    },
    {
      code: 'BIN_LAYOUT',
      text: 'Samples of four axes are read as NHWC unless the converter gets --inputDataFormat=NCHW.',
      source: SOURCE,
    },
  ],
} satisfies Target;
