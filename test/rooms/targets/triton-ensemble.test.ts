/** Preprocessing on a Triton server: what its model gives for pixels is what calibration read, bit for bit. */
import { describe, expect, it } from 'vitest';
import { filled } from '../../../src/base/lists.js';
import { createRng } from '../../../src/base/rng.js';
import type { PreprocessSpec } from '../../../src/data/preprocess-spec.js';
import { createImageReader, pixelValues } from '../../../src/data/preprocess.js';
import type { ValueInfo } from '../../../src/ir/feed.js';
import { decodeModel } from '../../../src/onnx/decode.js';
import { openModel } from '../../../src/runtime/open.js';
import { ensembleOf } from '../../../src/targets/triton/ensemble.js';
import type { Served } from '../../../src/targets/triton/config.js';

const [H, W] = [5, 4];
const KINDS: readonly [string, PreprocessSpec, ValueInfo][] = [
  [
    'RGB before rows',
    { scale: '1/255', mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
    { name: 'x', dtype: 'float32', shape: ['N', 3, H, W] },
  ],
  [
    'BGR behind columns',
    { colour: 'BGR', mean: [104, 117, 123] },
    { name: 'values', dtype: 'float32', shape: ['N', H, W, 3] },
  ],
  ['gray, of half floats', { scale: '1/255' }, { name: 'pixels', dtype: 'float16', shape: ['N', 1, H, W] }],
  ['whole numbers', { mean: 128 }, { name: 'x', dtype: 'int8', shape: [1, 3, H, W] }],
];

describe('pixels on the server', () => {
  it.each(KINDS)('become what calibration reads: %s', async (_, preprocess, input) => {
    const channels = input.shape?.includes(3) ? 3 : 1;
    const batched = input.shape?.[0] !== 1;
    const own: Served = {
      name: 'net',
      most: batched ? 8 : 0,
      inputs: [
        { name: input.name, type: 'TYPE_FP32', dims: (input.shape ?? []).map((d) => (typeof d === 'number' ? d : -1)) },
      ],
      outputs: [{ name: 'y', type: 'TYPE_FP32', dims: [-1, 10] }],
    };
    const { files } = ensembleOf(own, pixelValues({ preprocess }, [input]));
    const named = new Map(files.map((f) => [f.path, f.data]));
    const model = decodeModel(named.get('net-pixels/1/model.onnx') as Uint8Array);
    const [pixels] = model.graph.inputs;
    expect(pixels?.name).toBe(input.name === 'pixels' ? 'pixels-of-pixels' : 'pixels');

    const rng = createRng(1, 'pixels');
    const data = Uint8Array.from({ length: H * W * channels }, () => rng.int(256));
    const session = await openModel(model, { threads: 1, spinning: false, label: 'pixels' });
    const got = await session.run({ [pixels?.name ?? '']: { dtype: 'uint8', dims: [1, H, W, channels], data } });
    await session.close();
    // the reader takes three channels, of which gray makes one: equal ones give themselves
    const rgb =
      channels === 3 ? data : Uint8Array.from({ length: 3 * data.length }, (_x, i) => data[Math.floor(i / 3)] ?? 0);
    const reader = createImageReader({ preprocess, maxPixels: 1e6 }, [input], undefined);
    expect(got[input.name]).toEqual(reader.fromPixels({ width: W, height: H, data: rgb })[input.name]);

    const config = String(named.get('net-ensemble/config.pbtxt'));
    const dims = [...config.matchAll(/dims: \[ (.*?) \]/g)].map((m) => filled(m, 1));
    expect(dims).toEqual(batched ? [`${H}, ${W}, ${channels}`, '10'] : [`1, ${H}, ${W}, ${channels}`, '-1, 10']);
    expect(config).toContain(`input_map { key: "${input.name}", value: "${input.name}" }`);
    expect(named.has('net-ensemble/1/README.txt')).toBe(true);
  });
});
