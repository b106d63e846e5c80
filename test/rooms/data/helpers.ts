import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import type { Diagnostic } from '../../../src/base/errors.js';
import { QuantError } from '../../../src/base/errors.js';
import { openDataset, type Dataset } from '../../../src/data/dataset.js';
import { dataSpec, type DataSpecInput } from '../../../src/data/spec.js';
import type { Sample, ValueInfo } from '../../../src/ir/feed.js';

export const temp = (): Promise<string> => mkdtemp(join(tmpdir(), 'quantbench-data-'));
export const image4: ValueInfo = { name: 'x', dtype: 'float32', shape: ['batch', 3, 4, 4] };
export const vector2: ValueInfo = { name: 'x', dtype: 'float32', shape: [null, 2] };

export async function put(path: string, bytes: Uint8Array | string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes);
  return path;
}
export const png = (r: number, g: number, b: number, width = 4, height = 4): Promise<Buffer> =>
  sharp({ create: { width, height, channels: 3, background: { r, g, b } } })
    .png()
    .toBuffer();

export const open = (
  spec: DataSpecInput,
  inputs: readonly ValueInfo[],
  baseDir: string,
  found: Diagnostic[] = [],
  seed = 1,
): Promise<Dataset> => openDataset(dataSpec.parse(spec), inputs, { baseDir, seed, onDiagnostic: (d) => found.push(d) });
export async function all(dataset: Dataset, limit?: number): Promise<Sample[]> {
  const out: Sample[] = [];
  for await (const s of dataset.samples(limit === undefined ? {} : { limit })) out.push(s);
  return out;
}
/** The QuantError of a promise that must fail. */
export async function errorOf(run: () => Promise<unknown>): Promise<QuantError> {
  try {
    await run();
  } catch (e) {
    if (e instanceof QuantError) return e;
    throw e;
  }
  throw new Error('expected an error');
}

export function npy(
  descr: string,
  shape: readonly number[],
  data: Uint8Array,
  options: { fortran?: boolean; header?: string } = {},
): Uint8Array {
  const text =
    options.header ??
    `{'descr': '${descr}', 'fortran_order': ${options.fortran ? 'True' : 'False'}, 'shape': ` +
      `(${shape.join(', ')}${shape.length === 1 ? ',' : ''}), }`;
  const head = `${text}${' '.repeat(64 - ((10 + text.length + 1) % 64))}\n`;
  const out = new Uint8Array(10 + head.length + data.length);
  out.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, head.length & 255, head.length >> 8]);
  out.set(new TextEncoder().encode(head), 10);
  out.set(data, 10 + head.length);
  return out;
}
export const f32 = (...v: number[]): Uint8Array => new Uint8Array(Float32Array.from(v).buffer);

/** A tar archive; `type` and a `size` that differs from the data make bad ones. */
export function tar(
  entries: readonly { name: string; data?: Uint8Array | string; type?: string; size?: number; prefix?: string }[],
): Uint8Array {
  const blocks: Uint8Array[] = [];
  const encoder = new TextEncoder();
  for (const e of entries) {
    const data = typeof e.data === 'string' ? encoder.encode(e.data) : (e.data ?? new Uint8Array());
    const header = new Uint8Array(512);
    header.set(encoder.encode(e.name), 0);
    header.set(encoder.encode('0000644\0'), 100);
    header.set(encoder.encode(`${(e.size ?? data.length).toString(8).padStart(11, '0')}\0`), 124);
    header.set(encoder.encode('        '), 148);
    header[156] = (e.type ?? '0').charCodeAt(0);
    header.set(encoder.encode('ustar\x0000'), 257);
    if (e.prefix) header.set(encoder.encode(e.prefix), 345);
    header.set(
      encoder.encode(
        `${header
          .reduce((a, b) => a + b, 0)
          .toString(8)
          .padStart(6, '0')}\0 `,
      ),
      148,
    );
    const body = new Uint8Array(Math.ceil(data.length / 512) * 512);
    body.set(data);
    blocks.push(header, body);
  }
  blocks.push(new Uint8Array(1024));
  return Buffer.concat(blocks);
}
