import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { openImageTree } from '../../src/data/image-tree.js';

const home = fileURLToPath(new URL('../../calibration-data', import.meta.url));

it('demo.onnx classifies more than 97 % of glyphs/test.tar, but not all of it', async () => {
  const session = await InferenceSession.create(join(home, 'demo.onnx'), { intraOpNumThreads: 1 });
  expect(session.inputNames).toEqual(['input']);
  const tree = await openImageTree(join(home, 'glyphs', 'test.tar'));
  let right = 0;
  let count = 0;
  for (const [label, name] of tree.top.folders.entries()) {
    const files = await tree.images(name);
    const batch = new Float32Array(files.length * 3 * 1024);
    for (const [n, file] of files.entries()) {
      const pixels = await sharp(await tree.read(`${name}/${file}`))
        .raw()
        .toBuffer();
      for (let p = 0; p < 1024; p++)
        for (let c = 0; c < 3; c++) batch[(n * 3 + c) * 1024 + p] = (pixels[p * 3 + c]! / 255 - 0.5) / 0.25;
    }
    const { logits } = await session.run({ input: new Tensor('float32', batch, [files.length, 3, 32, 32]) });
    const scores = logits!.data as Float32Array; // a float32 output, by the model
    for (let n = 0; n < files.length; n++, count++) {
      const row = scores.subarray(n * 10, n * 10 + 10);
      if (row.indexOf(Math.max(...row)) === label) right++;
    }
  }
  expect(count).toBe(1000);
  expect(right / count).toBeGreaterThan(0.97);
  expect(right / count).toBeLessThan(1);
});
