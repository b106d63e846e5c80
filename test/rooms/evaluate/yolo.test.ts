/** Detectors with one output, in the layouts of YOLO v5, v8 and v10. */
import { describe, expect, it } from 'vitest';
import { detectionReader, detectionSpec } from '../../../src/evaluate/detections.js';
import type { Sample, ValueInfo } from '../../../src/ir/feed.js';

const sample: Sample = { id: 's', hash: 's', feeds: [], target: { size: { width: 640, height: 320 }, boxes: [] } };
const info = (...shape: number[]): ValueInfo => ({ name: 'output0', dtype: 'float32', shape: [1, ...shape] });
const read = (out: ValueInfo, data: readonly number[], options: object = {}, more: ValueInfo[] = []): unknown[] => {
  const reader = detectionReader('map', detectionSpec.parse(options), [out, ...more], 100);
  // shapes here are known
  return reader(sample, [
    { output0: { dtype: 'float32', dims: out.shape as number[], data: Float32Array.from(data) } },
  ]).map((d) => [...d.box.map((x) => Math.round(x)), Math.round(d.score * 100) / 100, d.label]);
};
/** Rows of boxes as columns. */
const turned = (rows: readonly (readonly number[])[]): number[] => rows[0]!.flatMap((_, k) => rows.map((r) => r[k]!));

const fill = (n: number, width: number): number[][] =>
  Array.from({ length: n }, () => new Array<number>(width).fill(0));
const v5 = [
  [100, 60, 40, 20, 0.9, 0.1, 0.8],
  [102, 60, 40, 20, 0.8, 0.1, 0.7],
  [300, 200, 60, 60, 0.5, 1, 0],
  ...fill(9, 7),
];
const v8 = [[100, 60, 40, 20, 0.05, 0.72], [102, 60, 40, 20, 0.04, 0.56], [300, 200, 60, 60, 0.5, 0], ...fill(9, 6)];
const v10 = [
  [80, 50, 120, 70, 0.72, 1],
  [270, 170, 330, 230, 0.5, 0],
  [0, 0, 0, 0, 0, 0],
];
const best = [
  [80, 50, 120, 70, 0.72, 1],
  [270, 170, 330, 230, 0.5, 0],
];

describe('the layout of a single output', () => {
  it('yolov5: objectness times class, suppressed within each class', () => {
    expect(read(info(12, 7), v5.flat(), { scoreThreshold: 0.25 })).toEqual(best);
  });
  it('yolov8: a row for each coordinate and class', () => {
    expect(read(info(6, 12), turned(v8), { scoreThreshold: 0.25 })).toEqual(best);
  });
  it('yolov10: corners, score and class, as they come', () => {
    expect(read(info(3, 6), v10.flat(), { scoreThreshold: 0.25 })).toEqual(best);
  });
});
it('can be named, where the shape does not tell', () => {
  expect(read(info(12, 6), v8.flat(), { layout: 'yolov8', scoreThreshold: 0.25 })).toEqual(best);
  expect(
    read(info(12, 7), v5.flat(), { layout: 'yolov5', scoreThreshold: 0.25 }, [
      { name: 'raw', dtype: 'float32', shape: [1, 3, 8] },
    ]),
  ).toEqual(best);
});
it('suppresses by nms, and not at 1', () => {
  expect(read(info(12, 7), v5.flat(), { scoreThreshold: 0.25, nms: 1 })).toHaveLength(3);
});
it('scales normalized boxes by the size of the image', () => {
  const small = v8.map(([x, y, w, h, ...scores]) => [x! / 640, y! / 320, w! / 640, h! / 320, ...scores]);
  expect(read(info(6, 12), turned(small), { coordinates: 'normalized', scoreThreshold: 0.25 })).toEqual(best);
});
it('leaves scores out that are noise, and keeps those that are NaN as wrong', () => {
  expect(read(info(6, 12), turned(v8.map((r) => [...r.slice(0, 4), 0.0005, 0])))).toEqual([]);
  expect(read(info(6, 12), turned([[1, 1, 1, 1, NaN, 0], ...fill(11, 6)]))).toEqual(
    [[1, 1, 2, 2, Infinity, 0]].map(([, ...r]) => [expect.anything() as unknown, ...r]),
  );
});
it('refuses a shape that is none', () => {
  expect(() => read(info(12, 7), v5.flat(), { layout: 'yolov10' })).toThrow(
    expect.objectContaining({ code: 'DATA_SHAPE' }),
  );
});
it('outputs of their own for boxes and scores are read as ever', () => {
  const boxes: ValueInfo = { name: 'boxes', dtype: 'float32', shape: [1, 2, 4] };
  const scores: ValueInfo = { name: 'scores', dtype: 'float32', shape: [1, 2] };
  const reader = detectionReader('map', detectionSpec.parse({}), [boxes, scores], 100);
  const of = (dims: number[], data: number[]): { dtype: 'float32'; dims: number[]; data: Float32Array } => ({
    dtype: 'float32',
    dims,
    data: Float32Array.from(data),
  });
  expect(
    reader(sample, [{ boxes: of([1, 2, 4], [0, 0, 9, 9, 5, 5, 9, 9]), scores: of([1, 2], [0.5, 0.7]) }]).map(
      (d) => d.box,
    ),
  ).toEqual([
    [5, 5, 9, 9],
    [0, 0, 9, 9],
  ]);
});
