/** What this machine's CPU reaches in onnxruntime: the roof of the roofline. */
import type { Device } from '../cost/roofline.js';
import { parseModel } from '../ir/text/parse.js';
import { openModel } from '../runtime/open.js';

const SIZE = 768;
const COPY_FLOATS = 16 << 20;

/** Measures the best of a few large matrix products, and of copies of 64 MB, in about half a second. */
export async function measureCpu(threads: number): Promise<Device> {
  const session = await openModel(
    parseModel(
      `<ir_version: 8, opset_import: ["" : 17]>\n` +
        `g (float[${SIZE},${SIZE}] a, float[${SIZE},${SIZE}] b) => (float[1] y) { c = MatMul(a, b)  m = ` +
        'ReduceMax(c)  s = Constant <value_ints = [1]> ()  y = Reshape(m, s) }',
    ),
    { threads },
  );
  try {
    const matrix = { dtype: 'float32', dims: [SIZE, SIZE], data: new Float32Array(SIZE * SIZE).fill(0.5) } as const;
    let least = Infinity;
    for (let i = 0; i < 6; i++) {
      const start = performance.now();
      await session.run({ a: matrix, b: matrix });
      if (i > 0) least = Math.min(least, performance.now() - start);
    }
    const from = new Float32Array(COPY_FLOATS).fill(1);
    const to = new Float32Array(COPY_FLOATS);
    let copy = Infinity;
    for (let i = 0; i < 4; i++) {
      const start = performance.now();
      to.set(from);
      if (i > 0) copy = Math.min(copy, performance.now() - start);
    }
    return {
      name: `this CPU, ${threads} thread${threads === 1 ? '' : 's'}, measured`,
      flopsPerSecond: (2 * SIZE ** 3) / (least / 1000),
      bytesPerSecond: (2 * 4 * COPY_FLOATS) / (copy / 1000),
    };
  } finally {
    await session.close();
  }
}
