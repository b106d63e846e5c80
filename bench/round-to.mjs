// What onnxruntime takes for a convolution of so many channels, against one of 64: node bench/round-to.mjs
import { encodeModel } from '../dist/onnx/encode.js';
import { measureLatencies } from '../dist/evaluate/latency.js';
import { parseModel } from '../dist/ir/text/parse.js';

/** C channels between layers of 8, on images of 32 × 32. */
const net = (c) =>
  encodeModel(
    parseModel(
      `<ir_version: 10, opset_import: ["" : 17]> g (float[1,8,32,32] x) => (y)
        <float[${c},8,1,1] i, float[${c},${c},3,3] w, float[8,${c},3,3] v>
        { z = Conv (x, i)  a = Conv <pads: ints = [1,1,1,1]> (z, w)  r = Relu (a)
          y = Conv <pads: ints = [1,1,1,1]> (r, v) }`,
      { randomInitializers: 1 },
    ),
  );
const feed = { x: { dtype: 'float32', dims: [1, 8, 32, 32], data: new Float32Array(8 * 32 * 32).fill(0.5) } };
const channels = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [23, 24, 28, 31, 32, 33, 40, 47, 48];
const found = await measureLatencies(net(64), channels.map(net), { feed, runs: 60, warmup: 5, threads: 1 });
for (const [i, { quantizedMs, speedup, speedupInterval: [low, high] = [] }] of found.entries())
  console.log(
    `${channels[i]} channels  ${quantizedMs.p50.toFixed(3)} ms  ${(1 / speedup).toFixed(3)} × that of 64` +
      (low ? ` (${(1 / high).toFixed(3)} to ${(1 / low).toFixed(3)})` : ''),
  );
