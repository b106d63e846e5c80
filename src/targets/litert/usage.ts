import type { Usage } from '../types.js';

export const usage: readonly Usage[] = [
  {
    language: 'Python',
    code: [
      'from ai_edge_litert.interpreter import Interpreter',
      '',
      "interpreter = Interpreter(model_path='{model}')",
      'run = interpreter.get_signature_runner()',
      '# by the names of the ONNX model; images are [batch, height, width, channels]',
      'outputs = run(input=image)',
    ],
  },
  {
    language: 'Kotlin',
    code: [
      '// implementation("com.google.ai.edge.litert:litert:1.4.0")',
      'val interpreter = Interpreter(FileUtil.loadMappedFile(context, "{model}"))',
      'interpreter.run(input, output) // direct ByteBuffers of float32',
    ],
  },
  {
    language: 'C++',
    code: [
      'auto model = tflite::FlatBufferModel::BuildFromFile("{model}");',
      'tflite::ops::builtin::BuiltinOpResolver resolver;',
      'std::unique_ptr<tflite::Interpreter> interpreter;',
      'tflite::InterpreterBuilder(*model, resolver)(&interpreter);',
      'interpreter->AllocateTensors();',
      'float* input = interpreter->typed_input_tensor<float>(0);',
    ],
  },
];
