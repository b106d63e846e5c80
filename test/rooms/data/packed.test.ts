/** Samples that are read once: the same bytes come back, from memory, from codes and from a file. */
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { PackedSamples } from '../../../src/data/packed.js';
import type { FeedTensor, Sample } from '../../../src/ir/feed.js';

const tensor = (data: FeedTensor['data'], dtype: FeedTensor['dtype'], ...dims: number[]): FeedTensor => ({
  dtype,
  dims: [1, ...dims],
  data,
});
async function* stream(samples: readonly Sample[]): AsyncGenerator<Sample> {
  for (const s of samples) yield await Promise.resolve(s);
}
const rng = createRng(1);
/** Pixels of few values, and numbers of many. */
const samples: Sample[] = Array.from({ length: 7 }, (_, i) => ({
  id: `s${i}`,
  hash: String(i),
  label: i % 3,
  feeds: [
    {
      image: tensor(
        Float32Array.from({ length: 12 }, () => Math.fround((rng.int(256) / 255 - 0.485) / 0.229)),
        'float32',
        3,
        4,
      ),
      ids: tensor(BigInt64Array.from([BigInt(i), -1n]), 'int64', 2),
      real: tensor(
        Float32Array.from({ length: 5 }, () => rng.normal()),
        'float32',
        5,
      ),
    },
  ],
}));

describe('PackedSamples', () => {
  it.each([
    ['in memory', 1e9],
    ['partly in a file', 200],
    ['in a file', 0],
  ])('gives what was read, %s', async (_, memoryBytes) => {
    const packed = await PackedSamples.read(stream(samples), { memoryBytes });
    expect([packed.count, [...packed.labels!], packed.ids[6]]).toEqual([7, [0, 1, 2, 0, 1, 2, 0], 's6']);
    const feed = packed.feed([6, 0, 3]);
    expect(feed.image).toMatchObject({ dtype: 'float32', dims: [3, 3, 4] });
    [6, 0, 3].forEach((row, at) => {
      for (const [name, size] of [
        ['image', 12],
        ['ids', 2],
        ['real', 5],
      ] as const)
        expect(feed[name]!.data.slice(at * size, (at + 1) * size)).toEqual(samples[row]!.feeds[0]![name]!.data);
    });
    packed.close();
  });
  it('keeps numbers of more values than codes tell apart', async () => {
    const many = Array.from({ length: 3 }, (_, i): Sample => ({
      ...samples[0]!,
      feeds: [
        {
          x: tensor(
            Float32Array.from({ length: 40_000 }, () => rng.normal()),
            'float32',
            40_000,
          ),
        },
      ],
      id: String(i),
    }));
    const packed = await PackedSamples.read(stream(many));
    const { x } = packed.feed([0, 1, 2]);
    many.forEach((s, i) => expect(x!.data.slice(i * 40_000, (i + 1) * 40_000)).toEqual(s.feeds[0]!.x!.data));
    packed.close();
  });
  it('has a hash of samples, labels and order', async () => {
    const hash = async (list: readonly Sample[]): Promise<string> => (await PackedSamples.read(stream(list))).hash;
    expect(await hash(samples)).toBe(await hash(samples));
    expect(await hash([...samples].reverse())).not.toBe(await hash(samples));
    expect(await hash(samples.map((s) => ({ ...s, label: 0 })))).not.toBe(await hash(samples));
  });
  it.each([1e9, 0])('fills texts up to the longest, %d bytes in memory', async (memoryBytes) => {
    const text = (id: string, ...lengths: number[]): Sample => ({
      ...{ id, hash: id, label: 1 },
      feeds: lengths.map((n) => ({
        ids: tensor(
          BigInt64Array.from({ length: n }, (_, i) => BigInt(i + 1)),
          'int64',
          n,
        ),
        soft: tensor(
          Float32Array.from({ length: 2 * n }, (_, i) => i + 0.5),
          'float32',
          n,
          2,
        ),
      })),
    });
    const list = [text('a', 2, 1), text('b', 3, 1)];
    const packed = await PackedSamples.read(stream(list), { memoryBytes, padding: { ids: 7 } });
    expect([packed.count, packed.labels, packed.ids]).toEqual([4, undefined, ['a (1)', 'a (2)', 'b (1)', 'b (2)']]);
    const { ids, soft } = packed.feed([2, 1]);
    expect([ids!.dims, [...ids!.data]]).toEqual([
      [2, 3],
      [1n, 2n, 3n, 1n, 7n, 7n],
    ]);
    expect([soft!.dims, [...soft!.data]]).toEqual([
      [2, 3, 2],
      [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 0.5, 1.5, 0, 0, 0, 0],
    ]);
    packed.close();
    await expect(PackedSamples.read(stream(list))).rejects.toMatchObject({
      code: 'DATA_SHAPE',
      hint: expect.stringContaining('padTo: longest') as string,
    });
  });
  it.each<[string, Sample[], string]>([
    ['no samples', [], 'DATA_MISSING'],
    [
      'two shapes',
      [
        samples[0]!,
        { ...samples[1]!, feeds: [{ ...samples[1]!.feeds[0], real: tensor(Float32Array.of(1), 'float32', 1) }] },
      ],
      'DATA_SHAPE',
    ],
    ['some without labels', [samples[0]!, { id: 'x', hash: '', feeds: samples[1]!.feeds }], 'DATA_LABEL'],
    ['a sample without a feed', [samples[0]!, { ...samples[1]!, feeds: [] }], 'DATA_SHAPE'],
    [
      'pairs that are held against tensors',
      [{ ...samples[0]!, feeds: [...samples[0]!.feeds, ...samples[1]!.feeds], target: { tensors: {} } }],
      'DATA_SHAPE',
    ],
  ])('refuses %s', async (_, list, code) => {
    await expect(PackedSamples.read(stream(list))).rejects.toMatchObject({ code });
  });
});
