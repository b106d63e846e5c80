/** Detectors that give everything in one output: https://docs.ultralytics.com/modes/export/ */
import { fail } from '../base/errors.js';
import type { Sample, ValueInfo } from '../ir/feed.js';
import type { OutputValues } from './tensors.js';

export const YOLO_LAYOUTS = ['yolov5', 'yolov8', 'yolov10'] as const;
export type YoloLayout = (typeof YOLO_LAYOUTS)[number];

/** Scores below this are noise of the head, and there are millions of them. source: `conf` of `yolo val` is 0.001 */
const LEAST_SCORE = 0.001;

/** One box with a score for each class that is worth looking at. */
export interface YoloBox {
  readonly corners: readonly [left: number, top: number, right: number, bottom: number];
  readonly scores: readonly (readonly [label: number, score: number])[];
}

/**
 * The layout of a model's only output, by its shape: [batch, 4 + classes, boxes] is that of v8 (and v9, v11), [batch,
 * boxes, 6]
 * that of v10, [batch, boxes, 5 + classes] that of v5 (and v7). Undefined where there are other outputs, or nothing
 * fits.
 */
export function layoutOf(outputs: readonly ValueInfo[]): YoloLayout | undefined {
  const [only, ...others] = outputs;
  const shape = only?.shape;
  if (others.length || shape?.length !== 3) return undefined;
  const [, a, b] = shape;
  if (b === 6) return 'yolov10';
  if (typeof a === 'number' && a >= 5 && (typeof b !== 'number' || b > a)) return 'yolov8';
  return typeof b === 'number' && b >= 6 && (typeof a !== 'number' || a > b) ? 'yolov5' : undefined;
}

/**
 * The boxes of one sample. v5: [boxes, (x, y, w, h, objectness, classes…)]; v8: [(x, y, w, h, classes…), boxes], or
 * turned; v10: [boxes, (left, top, right, bottom, score, class)]. Throws DATA_SHAPE for another shape.
 */
export function readYolo(
  metric: string,
  layout: YoloLayout,
  { values, dims }: OutputValues,
  sample: Sample,
  least: number,
): YoloBox[] {
  const [rows, columns] = dims.slice(-2);
  const wide = layout === 'yolov8' ? 5 : 6;
  if (rows === undefined || columns === undefined || values.length !== rows * columns)
    return wrong(metric, layout, dims, sample);
  const turned = layout === 'yolov8' && (rows < columns || columns < wide);
  const [boxes, width] = turned ? [columns, rows] : [rows, columns];
  if (width < wide || (layout === 'yolov10' && width !== wide)) return wrong(metric, layout, dims, sample);
  // within the output
  const at = (box: number, k: number): number => values[turned ? k * boxes + box : box * width + k]!;
  const limit = Math.max(least, LEAST_SCORE);
  const found: YoloBox[] = [];
  for (let i = 0; i < boxes; i++) {
    const scores: [number, number][] = [];
    // A score that is NaN is kept, as one that is wrong.
    const note = (label: number, score: number): void => {
      if (!(score < limit)) scores.push([label, score]);
    };
    if (layout === 'yolov10') note(at(i, 5), at(i, 4));
    else if (layout === 'yolov8') for (let c = 4; c < width; c++) note(c - 4, at(i, c));
    else if (!(at(i, 4) < limit)) for (let c = 5; c < width; c++) note(c - 5, at(i, 4) * at(i, c));
    if (!scores.length) continue;
    const [a, b, c, d] = [at(i, 0), at(i, 1), at(i, 2), at(i, 3)];
    found.push({ corners: layout === 'yolov10' ? [a, b, c, d] : [a - c / 2, b - d / 2, a + c / 2, b + d / 2], scores });
  }
  return found;
}

function wrong(metric: string, layout: YoloLayout, dims: readonly number[], sample: Sample): never {
  return fail(
    'DATA_SHAPE',
    `metric ${metric} cannot read an output [${dims.join(',')}] as ${layout}`,
    { sample: sample.id },
    'yolov5 is [batch, boxes, 5 + classes], yolov8 [batch, 4 + classes, boxes], yolov10 [batch, boxes, 6]',
  );
}
