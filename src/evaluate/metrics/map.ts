/**
 * Mean average precision of detectors. Sources: pycocotools COCOeval (https://github.com/cocodataset/cocoapi), area
 * range all, 100 detections a class and image; Everingham et al. 2010 and VOCdevkit for Pascal VOC.
 */
import { z } from 'zod';
import { resampling } from '../accumulators.js';
import { areaUnder, atPoints, matchCoco, matchVoc, PrecisionMeter } from '../average-precision.js';
import { detectionSpec, detectionReader, type ReadDetections } from '../detections.js';
import type { Accumulator, Metric } from '../types.js';

const iou = z.number().gt(0).max(1);
const cocoOptions = z.strictObject({
  ...detectionSpec.shape,
  iou: iou.describe('A single IoU threshold, such as 0.5. Default: the mean over 0.50, 0.55, …, 0.95.').optional(),
});
const vocOptions = z.strictObject({
  ...detectionSpec.shape,
  iou: iou.default(0.5).describe('IoU from which a detection is right.'),
  points: z
    .enum(['11', 'all'])
    .default('all')
    .describe('all: area under the precision-recall curve (VOC2010 and later); 11: mean over 11 recalls (VOC2007).'),
});
/** numpy.linspace(0.5, 0.95, 10), in its rounding. */
const COCO_THRESHOLDS = Array.from({ length: 10 }, (_, i) => (i === 9 ? 0.95 : i * ((0.95 - 0.5) / 9) + 0.5));
const COCO_DETECTIONS = 100;

export const map = {
  name: 'map',
  doc: 'Mean average precision of a detector as COCO computes it.',
  unit: '%',
  higherIsBetter: true,
  needsLabels: false,
  needsTarget: 'boxes',
  options: cocoOptions,
  start(options, outputs) {
    const thresholds = options.iou === undefined ? COCO_THRESHOLDS : [options.iou];
    return precision(
      detectionReader('map', options, outputs, COCO_DETECTIONS),
      new PrecisionMeter(matchCoco(thresholds), thresholds.length, atPoints(101)),
    );
  },
} as const satisfies Metric<z.output<typeof cocoOptions>>;

export const mapVoc = {
  name: 'map-voc',
  doc: 'Mean average precision of a detector as Pascal VOC computes it; difficult objects are ignored.',
  unit: '%',
  higherIsBetter: true,
  needsLabels: false,
  needsTarget: 'boxes',
  options: vocOptions,
  start: (options, outputs) =>
    precision(
      detectionReader('map-voc', options, outputs, Infinity),
      new PrecisionMeter(matchVoc(options.iou), 1, options.points === 'all' ? areaUnder : atPoints(11)),
    ),
} as const satisfies Metric<z.output<typeof vocOptions>>;

function precision(read: ReadDetections, meter: PrecisionMeter): Accumulator {
  return resampling(
    (sample, outputs) => {
      const boxes = sample.target?.boxes;
      if (boxes) meter.add(read(sample, outputs), boxes);
    },
    () => meter.images,
    (images) => meter.value(images),
  );
}
