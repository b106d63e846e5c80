/** What is learned, from whom, and by which samples it is judged. */
import { describe, expect, it } from 'vitest';
import { addLoss } from '../../../src/autodiff/add-loss.js';
import { gradients } from '../../../src/autodiff/gradients.js';
import { createRng } from '../../../src/base/rng.js';
import { crop } from '../../../src/data/augment/crop.js';
import { flip } from '../../../src/data/augment/flip.js';
import { mixup } from '../../../src/data/augment/mixup.js';
import { PackedSamples } from '../../../src/data/packed.js';
import type { Feed, Sample } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { openModel } from '../../../src/runtime/open.js';
import { batchesOf, batchOf, type BatchSettings } from '../../../src/train/batches.js';
import { addHints } from '../../../src/train/hints.js';
import { heldBack } from '../../../src/train/judge.js';
import { learn, type LearnSettings } from '../../../src/train/learn.js';
import { parametersOf, withoutDecay } from '../../../src/train/parameters.js';
import { withTeacher } from '../../../src/train/teacher.js';

/** Bright above or below, left or right: four classes of 4 × 4 images with noise. */
async function* images(count: number): AsyncGenerator<Sample> {
  const rng = createRng(11, 'images');
  for (let i = 0; i < count; i++) {
    const label = rng.int(4);
    const data = Float32Array.from({ length: 16 }, (_, p) => {
      const [y, x] = [p >> 2, p & 3];
      const lit = label < 2 ? y < 2 === (label === 0) : x < 2 === (label === 2);
      return (lit ? 1 : -1) + 1.2 * rng.normal();
    });
    yield await Promise.resolve({
      ...{ id: `i${i}`, hash: String(i), label },
      feeds: [{ x: { dtype: 'float32', dims: [1, 1, 4, 4], data } }],
    });
  }
}
const net = (channels: number, prefix = ''): Model => {
  const c = channels;
  const list = (v: number): string => `{${Array(c).fill(v).join(',')}}`;
  return parseModel(
    `<ir_version: 10, opset_import: ["" : 17]> g (float[N,1,4,4] x) => (${prefix}y)
     <float[${c},1,3,3] w1, float[${c}] s = ${list(1)}, float[${c}] b = ${list(0)}, float[${c}] m = ${list(0)},
      float[${c}] v = ${list(1)}, float[4,${16 * c}] w2, float[4] b2 = {0,0,0,0}>
     { ${prefix}c = Conv <pads: ints = [1,1,1,1]> (x, w1) n = BatchNormalization (${prefix}c, s, b, m, v)
       ${prefix}r = Relu (n) l = Flatten (${prefix}r) ${prefix}y = Gemm <transB: int = 1> (l, w2, b2) }`,
    { randomInitializers: channels },
  );
};
const settings = (more: Partial<LearnSettings> = {}): LearnSettings => ({
  ...{
    batch: 32,
    steps: 60,
    rate: 0.02,
    warmUp: 0,
    accumulate: 1,
    batchNorm: 'batch',
    freeze: [],
    seed: 1,
    threads: 1,
  },
  loss: [{ loss: 'cross-entropy', target: 'label', weight: 1, options: {} }],
  optimiser: { name: 'adam' },
  schedule: { name: 'cosine' },
  validation: { share: 0.25 },
  ...more,
});
const packed = (count = 400): Promise<PackedSamples> => PackedSamples.read(images(count));
const weightsOf = (m: Model): unknown => [...m.graph.initializers].map((v) => [v.name, [...v.data!.f32()]]); // have data

describe('parametersOf()', () => {
  const m = parseModel(
    `<ir_version: 10, opset_import: ["" : 17]> g (float[N,1,4,4] x) => (y)
     <float[1,1,1,1] mean = {0.5}, float[1,1,4,4] shade, float[4,1,1,1] w, float[4] cb, float[4,1,1] slope, float two = {2},
      float[1,4,1,1] scale, float[4] s, float[4] b, float[4] m, float[4] v>
     { a = Sub (x, mean) a2 = Mul (a, shade) c = Conv (a2, w, cb) n = BatchNormalization (c, s, b, m, v)
       p = PRelu (n, slope) q = Mul (p, scale) y = Div (q, two) }`,
    { randomInitializers: 1 },
  );
  it('are weights, and what is added to or multiplied with what layers made', () => {
    expect(parametersOf(m)).toEqual(['w', 'cb', 'slope', 'scale', 's', 'b']);
    expect(withoutDecay(m, parametersOf(m))).toEqual(['w', 'cb', 'slope', 'scale', 's', 'b'].filter((n) => n !== '-'));
  });
  it('leave out what is frozen', () => {
    expect(parametersOf(m, ['s*', 're:^c'])).toEqual(['w', 'b']);
    expect(() => parametersOf(m, ['nothing'])).toThrow(expect.objectContaining({ code: 'RECIPE_UNKNOWN_NAME' }));
    expect(() => parametersOf(m, ['*'])).toThrow(expect.objectContaining({ code: 'GRADIENT_INVALID' }));
  });
});

describe('batches', () => {
  const augment = [
    { augmentation: crop, options: { padding: 1, fill: 0 } },
    { augmentation: flip, options: { axis: 'horizontal', share: 0.5 } },
    { augmentation: mixup, options: { alpha: 0.5 } },
  ] as BatchSettings['augment'];
  const rowsOf = (f: Feed, n: number): string[] =>
    Array.from({ length: n }, (_, i) => JSON.stringify([...f.x!.data.slice(16 * i, 16 * (i + 1))].map(Number)));

  it('show a sample the same way whatever batch it is in, and otherwise in each epoch', async () => {
    const samples = await packed(40);
    const s: BatchSettings = {
      samples,
      indices: Uint32Array.from({ length: 40 }, (_, i) => i),
      batch: 8,
      seed: 3,
      augment: augment!,
    };
    const together = rowsOf(batchOf(s, [5, 7, 9, 11], 2), 4);
    expect(rowsOf(batchOf(s, [9], 2), 1)[0]).toBe(together[2]);
    expect(rowsOf(batchOf(s, [9], 3), 1)[0]).not.toBe(together[2]);
    expect(rowsOf(batchOf({ ...s, seed: 4 }, [9], 2), 1)[0]).not.toBe(together[2]);
  });
  it('hold each sample once an epoch, in another order, and go on from the middle', async () => {
    const samples = await packed(40);
    const s: BatchSettings = { samples, indices: Uint32Array.from({ length: 36 }, (_, i) => i + 2), batch: 8, seed: 3 };
    const epoch = async (e: number, from: number): Promise<string[]> => {
      const rows: string[] = [];
      for await (const b of batchesOf(s)(e, from)) rows.push(...rowsOf(b, 8));
      return rows;
    };
    const [first, second] = [await epoch(0, 0), await epoch(1, 0)];
    expect(first).toHaveLength(32); // 4 batches; 4 samples are left
    expect(new Set(first).size).toBe(32);
    expect(second).not.toEqual(first);
    expect(await epoch(0, 3)).toEqual(first.slice(24));
  });
  it('mix labels as they mix images', async () => {
    const samples = await packed(40);
    const indices = Uint32Array.from({ length: 40 }, (_, i) => i);
    const label = { name: 'label', dtype: 'float32', shape: [8, 4] } as const;
    const f = batchOf(
      { samples, indices, batch: 8, seed: 3, label, augment: augment!.slice(2) },
      [0, 1, 2, 3, 4, 5, 6, 7],
      0,
    );
    const labels = f.label!.data as Float32Array; // float32
    expect(f.label!.dims).toEqual([8, 4]);
    for (let i = 0; i < 8; i++) {
      const row = [...labels.subarray(4 * i, 4 * i + 4)];
      expect(row.reduce((n, v) => n + v, 0)).toBeCloseTo(1, 5);
      expect(row[samples.labels![i]!]).toBeGreaterThan(0);
    }
    const classes = batchOf(
      { samples, indices, batch: 2, seed: 3, label: { ...label, dtype: 'int64', shape: [2] } },
      [3, 4],
      0,
    );
    expect([...classes.label!.data].map(Number)).toEqual([samples.labels![3], samples.labels![4]]);
  });
  it('refuse labels that are no class', async () => {
    const samples = await packed(8);
    const label = { name: 'label', dtype: 'float32', shape: [8, 2] } as const;
    const s: BatchSettings = { samples, indices: [0, 1, 2, 3, 4, 5, 6, 7], batch: 8, seed: 0, label };
    expect(() => batchOf(s, [0, 1, 2, 3, 4, 5, 6, 7], 0)).toThrow(expect.objectContaining({ code: 'DATA_LABEL' }));
  });
});

it('heldBack() parts samples by the seed', () => {
  const { learn: a, judge: b } = heldBack(100, 0.2, 7);
  expect([a.length, b.length]).toEqual([80, 20]);
  expect(new Set([...a, ...b]).size).toBe(100);
  expect(heldBack(100, 0.2, 7).judge).toEqual(b);
  expect(heldBack(100, 0.2, 8).judge).not.toEqual(b);
  expect(heldBack(100, 0, 7).judge).toHaveLength(0);
});

describe('learn()', () => {
  it('learns classes, judged by samples that it does not learn from', async () => {
    const samples = await packed();
    const made = await learn({ model: net(6), settings: settings(), samples });
    expect(made.samples).toEqual({ learned: 300, judged: 100 });
    expect(made.fit.best!.score.name).toBe('top1');
    expect(made.fit.best!.score.value).toBeGreaterThan(80); // by chance 25
    const again = await learn({ model: net(6), settings: settings(), samples });
    expect(weightsOf(again.model)).toEqual(weightsOf(made.model));
  });
  it('learns with mixed labels, and without labels from a teacher', async () => {
    const samples = await packed();
    const mix = [{ augmentation: mixup, options: { alpha: 0.2 } }] as never; // a list of augmentations
    const teacher = (await learn({ model: net(6), settings: settings(), samples, augment: mix })).model;
    const soft = settings({
      loss: [{ loss: 'kl', target: 'teacher', weight: 1, options: { temperature: 2 } }],
      steps: 100,
    });
    const made = await learn({ model: net(3), teacher, settings: soft, samples });
    expect(made.fit.best!.score.value).toBeGreaterThan(75);
    const names = [...made.model.graph.initializers].map((v) => v.name).sort();
    expect(names).toEqual(['b', 'b2', 'm', 's', 'v', 'w1', 'w2']);
  });
  it.each<[string, Partial<LearnSettings>, string]>([
    ['a batch beyond the samples', { batch: 400 }, 'RECIPE_INVALID'],
    [
      'a teacher that is not there',
      { loss: [{ loss: 'kl', target: 'teacher', weight: 1, options: {} }] },
      'RECIPE_INVALID',
    ],
    [
      'an unknown output',
      { loss: [{ loss: 'mse', of: 'z', target: 'label', weight: 1, options: {} }] },
      'GRADIENT_UNKNOWN_NAME',
    ],
  ])('refuses %s', async (_, more, code) => {
    const samples = await packed(40);
    await expect(learn({ model: net(3), settings: settings(more), samples })).rejects.toMatchObject({ code });
  });
});

describe('a teacher in the graph', () => {
  it('gives what it gives alone, and its normalisation stays while the student learns', async () => {
    const [student, teacher] = [net(3), net(6)];
    const both = withTeacher(student, teacher);
    const withLoss = addLoss(both, [{ loss: 'mse', of: 'y', target: 'teacher/y' }]);
    const made = gradients(withLoss, {
      ...{ loss: 'loss', wrt: ['w1', 's', 'w2'], batch: 8, batchNorm: 'batch', weightsAsInputs: true },
      outputs: ['teacher/y', 'y'],
    });
    expect(made.graph.outputs.map((v) => v.name)).toEqual(
      expect.arrayContaining(['batch of m', 'batch of v', 'gradient of w1']),
    );
    expect(made.graph.outputs.some((v) => v.name.startsWith('batch of teacher/'))).toBe(false);
    const samples = await packed(8);
    const feed = samples.feed([0, 1, 2, 3, 4, 5, 6, 7]);
    const [a, b] = [await openModel(made), await openModel(teacher)];
    const weights = Object.fromEntries(
      [...student.graph.initializers].map((v) => [
        v.name,
        { dtype: 'float32', dims: v.data!.dims, data: v.data!.f32() } as const,
      ]),
    );
    const [got, expected] = [await a.run({ ...feed, ...weights }), await b.run(feed)];
    got['teacher/y']!.data.forEach((v, i) => expect(v).toBeCloseTo(Number(expected.y!.data[i]), 5));
    await a.close();
    await b.close();
  });
  it('gives hints through adapters, which the student loses again', async () => {
    const samples = await packed(80);
    const teacher = net(6, 't_');
    const features = { pairs: [{ student: 'r', teacher: 't_r' }], loss: 'mse', weight: 0.5 } as const;
    const both = withTeacher(net(3), teacher);
    const { terms, parameters } = addHints(both, { features, attention: { pairs: 'auto', weight: 10 }, seed: 0 });
    expect(parameters).toEqual(['adapter of r']);
    expect(terms.map((t) => [t.loss, t.target, t.weight])).toEqual([
      ['mse', 'teacher/t_r', 0.5],
      ['mse', expect.stringMatching(/^attention of teacher/), 10],
    ]);
    const session = await openModel(addLoss(both, terms));
    const { loss } = await session.run(samples.feed([0, 1, 2]));
    expect(Number(loss!.data[0])).toBeGreaterThan(0);
    await session.close();
    const made = await learn({
      ...{ model: net(3), teacher, samples, settings: settings({ steps: 20, loss: [] }) },
      extend: (m) => addHints(m, { features, attention: { pairs: 'auto', weight: 10 }, seed: 0 }),
    });
    expect(made.fit.curve.at(-1)!.loss).toBeLessThan(made.fit.curve[0]!.loss);
    expect(made.fit.best!.score.name).toBe('loss');
    expect(made.model.graph.initializers.size).toBe(7);
  });
  it('refuses pairs of other sizes, and names that are none', () => {
    const both = withTeacher(net(3), net(6));
    const hint = (student: string, teacher: string) => () =>
      addHints(both, { features: { pairs: [{ student, teacher }], loss: 'mse', weight: 1 }, seed: 0 });
    expect(hint('r', 'l')).toThrow(expect.objectContaining({ code: 'DATA_SHAPE' }));
    expect(hint('q', 'r')).toThrow(expect.objectContaining({ code: 'GRADIENT_UNKNOWN_NAME' }));
  });
});
