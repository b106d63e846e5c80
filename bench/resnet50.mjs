/**
 * Writes a ResNet-50 at 224×224 with seeded random weights and unfolded BatchNormalization: `node bench/resnet50.mjs
 * out.onnx`.
 */
import { createRng } from '../dist/base/rng.js';
import { Graph, Value } from '../dist/ir/graph.js';
import { createModel } from '../dist/ir/model.js';
import { Tensor } from '../dist/ir/tensor.js';
import { saveModel } from '../dist/onnx/files.js';
import { floatAttr, GraphBuilder } from '../dist/rewrite/builder.js';

/** The architecture of He et al. 2015 (arXiv 1512.03385), stride in the 3×3 convolution as in torchvision. */
export function resnet50(seed = 0) {
  const rng = createRng(seed, 'resnet50');
  const graph = new Graph();
  const model = createModel(graph, 17);
  const b = new GraphBuilder(model, graph);
  const input = new Value('input');
  input.dtype = 'float32';
  input.shape = ['batch', 3, 224, 224];
  graph.addInput(input);

  const weights = (dims, gain = 1) => {
    const fan = dims.slice(1).reduce((n, d) => n * d, 1);
    const std = gain * Math.sqrt(2 / fan);
    return b.constant(
      Tensor.f32(
        Float32Array.from({ length: dims[0] * fan }, () => rng.normal() * std),
        dims,
      ),
      'weight',
    );
  };
  const vector = (n, make) => b.constant(Tensor.f32(Float32Array.from({ length: n }, make)), 'norm');
  const conv = (x, inputs, outputs, kernel, stride, gamma = 1) => {
    const pad = (kernel - 1) / 2;
    const y = b.op('Conv', [x, weights([outputs, inputs, kernel, kernel])], {
      attrs: { kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [pad, pad, pad, pad] },
    });
    const around = (centre, spread) => () => centre + spread * rng.normal();
    return b.op(
      'BatchNormalization',
      [
        y,
        vector(outputs, around(gamma, 0.05)),
        vector(outputs, around(0, 0.1)),
        vector(outputs, around(0, 0.1)),
        vector(outputs, () => 0.8 + 0.4 * rng.next()),
      ],
      { attrs: { epsilon: floatAttr(1e-5) } },
    );
  };
  const relu = (x) => b.op('Relu', [x]);

  let x = relu(conv(input, 3, 64, 7, 2));
  x = b.op('MaxPool', [x], { attrs: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] } });
  let channels = 64;
  for (const [stage, blocks] of [3, 4, 6, 3].entries()) {
    const width = 64 << stage;
    for (let block = 0; block < blocks; block++) {
      const stride = block === 0 && stage > 0 ? 2 : 1;
      let y = relu(conv(x, channels, width, 1, 1));
      y = relu(conv(y, width, width, 3, stride));
      // a small last gain keeps activations of the same size from block to block
      y = conv(y, width, width * 4, 1, 1, 0.4);
      const shortcut = block === 0 ? conv(x, channels, width * 4, 1, stride) : x;
      channels = width * 4;
      x = relu(b.op('Add', [y, shortcut]));
    }
  }
  x = b.op('Flatten', [b.op('GlobalAveragePool', [x])], { attrs: { axis: 1 } });
  const bias = vector(1000, () => 0.01 * rng.normal());
  const y = b.op('Gemm', [x, weights([1000, 2048]), bias], { attrs: { transB: 1 }, name: 'output' });
  graph.addOutput(y);
  return model;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const out = process.argv[2];
  if (!out?.endsWith('.onnx')) throw new Error('usage: node bench/resnet50.mjs OUT.onnx');
  saveModel(resnet50(), out);
}
