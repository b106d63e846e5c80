/**
 * What a detector found in one image, read from outputs that options declare, with non-maximum suppression where asked.
 */
import { z } from 'zod';
import { fail } from '../base/errors.js';
import type { Sample, ValueInfo } from '../ir/feed.js';
import { YOLO_LAYOUTS, layoutOf, readYolo, type YoloLayout } from './yolo.js';
import { outputName, outputOf } from './tensors.js';
import type { SampleOutputs } from './types.js';

/** Left, top, right, bottom in pixels of the model input. */
export type Box = readonly [left: number, top: number, right: number, bottom: number];
/** A score of Infinity marks one that is NaN, a label of -1 one that is no class: both are wrong wherever they are. */
export interface Detection {
  readonly box: Box;
  readonly score: number;
  readonly label: number;
}

/** Options of metrics for detectors. */
export const detectionSpec = z.strictObject({
  boxes: z
    .string()
    .min(1)
    .describe(
      'The output of boxes, [batch, boxes, 4] or [boxes, 4]. Default: the first whose last axis is 4, else the first.',
    )
    .optional(),
  scores: z
    .string()
    .min(1)
    .describe(
      'The output of scores: [batch, boxes], or [batch, boxes, classes] with a score per class. Default: the ' +
        'first other output of floats.',
    )
    .optional(),
  classes: z
    .string()
    .min(1)
    .describe(
      'The output of class indices, [batch, boxes]. Without it, scores are per class, or there is one class, 0.',
    )
    .optional(),
  format: z
    .enum(['xyxy', 'yxyx', 'xywh', 'cxcywh'])
    .default('xyxy')
    .describe(
      'Order of a box: corners (yxyx as TensorFlow), left-top corner with width and height, or centre with ' +
        'width and height.',
    ),
  coordinates: z
    .enum(['pixels', 'normalized'])
    .default('pixels')
    .describe('Whether boxes are in pixels of the model input, or 0 to 1 of its size.'),
  layout: z
    .enum(YOLO_LAYOUTS)
    .describe(
      'A detector that gives everything in one output (named by boxes, else the first): yolov5 [batch, boxes, ' +
        '5 + classes], yolov8 [batch, 4 + classes, boxes] (v9 and v11 too), yolov10 [batch, boxes, 6] without ' +
        'suppression. Default: by the shape of the only output; with it format, scores and classes do not count.',
    )
    .optional(),
  scoreThreshold: z.number().default(0).describe('Detections with a lower score are left out.'),
  firstClass: z
    .number()
    .int()
    .min(0)
    .default(0)
    .describe('The value in classes that stands for class 0: 1 where 0 is the background.'),
  background: z
    .number()
    .int()
    .min(0)
    .describe('The class that means no object where scores are per class; later classes count one less.')
    .optional(),
  nms: z
    .number()
    .min(0)
    .max(1)
    .describe(
      'Of boxes of one class that overlap by a larger IoU, only that of the highest score is kept. Default: ' +
        '0.5 where scores are per class, else none; 1 keeps all.',
    )
    .optional(),
});
export type DetectionOptions = z.output<typeof detectionSpec>;

/** Reads the detections of each class, highest score first, at most `most` of a class. */
export type ReadDetections = (sample: Sample, outputs: SampleOutputs) => Detection[];

/**
 * Throws RECIPE_UNKNOWN_NAME for outputs that the model lacks; the reader throws DATA_SHAPE naming output and sample.
 */
export function detectionReader(
  metric: string,
  options: DetectionOptions,
  outputs: readonly ValueInfo[],
  most: number,
): ReadDetections {
  const layout =
    options.layout ?? (options.boxes === undefined && options.scores === undefined ? layoutOf(outputs) : undefined);
  if (layout) return yoloReader(metric, layout, options, outputs, most);
  const boxesName = outputName(metric, options.boxes ?? outputs.find((o) => o.shape?.at(-1) === 4)?.name, outputs);
  const scoresName = outputName(
    metric,
    options.scores ??
      outputs.find(
        (o) =>
          o.name !== boxesName && o.name !== options.classes && (o.dtype === undefined || o.dtype.includes('float')),
      )?.name,
    outputs,
  );
  const classesName = options.classes === undefined ? undefined : outputName(metric, options.classes, outputs);
  return (sample, found) => {
    const boxes = outputOf(metric, found[0], boxesName, sample.id);
    const scores = outputOf(metric, found[0], scoresName, sample.id);
    const count = boxes.values.length / 4;
    const where = (tensor: string): { tensor: string; sample: string } => ({ tensor, sample: sample.id });
    if (boxes.dims.at(-1) !== 4 && count > 0)
      fail(
        'DATA_SHAPE',
        `metric ${metric} needs boxes of 4 numbers, but output '${boxesName}' gives [${boxes.dims.join(',')}]`,
        where(boxesName),
        'name another output with the option boxes',
      );
    const classes = classesName === undefined ? undefined : outputOf(metric, found[0], classesName, sample.id).values;
    if (classes && classes.length !== count)
      fail(
        'DATA_SHAPE',
        `output '${classesName}' has ${classes.length} classes for ${count} boxes`,
        where(classesName ?? ''),
        'name another output with the option classes',
      );
    const per = count > 0 ? scores.values.length / count : 1;
    if (!Number.isInteger(per) || per < 1 || (classes && per !== 1))
      fail(
        'DATA_SHAPE',
        `output '${scoresName}' has shape [${scores.dims.join(',')}] for ${count} ` +
          `boxes${classes ? ' with classes' : ''}`,
        where(scoresName),
        'scores are [batch, boxes], or [batch, boxes, classes] without the option classes',
      );
    const size = scaleOf(metric, options, sample);
    const all: Detection[] = [];
    for (let i = 0; i < count; i++) {
      let box: Box | undefined;
      for (let c = 0; c < per; c++) {
        if (per > 1 && c === options.background) continue;
        const score = scores.values[i * per + c]!;
        if (score < options.scoreThreshold) continue;
        box ??= boxAt(boxes.values, i, options.format, size);
        const label = classes
          ? classes[i]! - options.firstClass
          : options.background !== undefined && c > options.background
            ? c - 1
            : c;
        all.push({
          box,
          score: Number.isNaN(score) ? Infinity : score,
          label: Number.isInteger(label) && label >= 0 ? label : -1,
        });
      }
    }
    return suppressed(
      all.sort((a, b) => (a.score === b.score ? 0 : b.score - a.score)),
      options.nms ?? (per > 1 ? 0.5 : 1),
      most,
    );
  };
}

/** Boxes of a detector with one output, each with the classes that it scores. */
function yoloReader(
  metric: string,
  layout: YoloLayout,
  options: DetectionOptions,
  outputs: readonly ValueInfo[],
  most: number,
): ReadDetections {
  const name = outputName(metric, options.boxes ?? outputs[0]?.name, outputs);
  return (sample, found) => {
    const { width, height } = scaleOf(metric, options, sample);
    const all = readYolo(
      metric,
      layout,
      outputOf(metric, found[0], name, sample.id),
      sample,
      options.scoreThreshold,
    ).flatMap(({ corners: [a, b, c, d], scores }) => {
      const box: Box = [a * width, b * height, c * width, d * height];
      return scores.map(([label, score]): Detection => ({
        box,
        score: Number.isNaN(score) ? Infinity : score,
        label: Number.isInteger(label) && label >= 0 ? label : -1,
      }));
    });
    return suppressed(
      all.sort((x, y) => (x.score === y.score ? 0 : y.score - x.score)),
      options.nms ?? (layout === 'yolov10' ? 1 : 0.5),
      most,
    );
  };
}

/**
 * What a coordinate is multiplied by to be in pixels. Throws DATA_SHAPE for normalized ones of a sample without a size.
 */
function scaleOf(
  metric: string,
  { coordinates }: DetectionOptions,
  sample: Sample,
): { readonly width: number; readonly height: number } {
  if (coordinates === 'pixels') return { width: 1, height: 1 };
  return (
    sample.target?.size ??
    fail(
      'DATA_SHAPE',
      `metric ${metric} cannot scale normalized boxes: the target of '${sample.id}' has no size`,
      { sample: sample.id },
      'give target.size { width, height } with the boxes',
    )
  );
}

function boxAt(
  values: ArrayLike<number>,
  i: number,
  format: DetectionOptions['format'],
  { width, height }: { readonly width: number; readonly height: number },
): Box {
  const [a, b, c, d] = [values[4 * i]!, values[4 * i + 1]!, values[4 * i + 2]!, values[4 * i + 3]!];
  switch (format) {
    case 'xyxy':
      return [a * width, b * height, c * width, d * height];
    case 'yxyx':
      return [b * width, a * height, d * width, c * height];
    case 'xywh':
      return [a * width, b * height, (a + c) * width, (b + d) * height];
    case 'cxcywh':
      return [(a - c / 2) * width, (b - d / 2) * height, (a + c / 2) * width, (b + d / 2) * height];
  }
}

/**
 * Greedy non-maximum suppression within each class; `sorted` is by falling score. A box with NaN suppresses nothing.
 */
function suppressed(sorted: readonly Detection[], limit: number, most: number): Detection[] {
  const kept = new Map<number, Detection[]>();
  const out: Detection[] = [];
  for (const d of sorted) {
    const own = kept.get(d.label) ?? [];
    if (own.length >= most || (limit < 1 && own.some((k) => overlap(d.box, k.box) > limit))) continue;
    own.push(d);
    kept.set(d.label, own);
    out.push(d);
  }
  return out;
}

/**
 * Intersection over union; over the area of `a` alone where `b` is a crowd. 0 where they do not meet, or a number is
 * NaN.
 */
export function overlap(a: Box, b: Box, crowd = false): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (!(width > 0 && height > 0)) return 0;
  const shared = width * height;
  const own = (a[2] - a[0]) * (a[3] - a[1]);
  const share = shared / (crowd ? own : own + (b[2] - b[0]) * (b[3] - b[1]) - shared);
  return Number.isFinite(share) ? share : 0;
}
