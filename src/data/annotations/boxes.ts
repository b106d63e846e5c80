/** Objects in images, as annotation files tell them, and where preprocessing puts them. */
import type { Target, TargetBox } from '../../ir/feed.js';
import type { ImageFrame } from '../fit.js';

/** Objects of one image, in pixels of the image, and the size that the file says it has. */
export interface AnnotatedImage {
  readonly boxes: readonly TargetBox[];
  readonly width?: number;
  readonly height?: number;
}
export interface Annotations {
  /** By path, relative to the folder of images and with forward slashes; VOC files by the name without extension. */
  readonly images: ReadonlyMap<string, AnnotatedImage>;
  readonly classes: readonly string[] | undefined;
  /** What names an image of this path in `images`. */
  keyOf(path: string): string;
}

/**
 * The boxes in pixels of the model input, clipped to what a crop left over; those of which nothing is left are gone.
 */
export function framedTarget(boxes: readonly TargetBox[], frame: ImageFrame): Target {
  const { scaleX, scaleY, left, top, visible } = frame;
  const mapped: TargetBox[] = [];
  for (const b of boxes) {
    const moved = [
      b.box[0] * scaleX + left,
      b.box[1] * scaleY + top,
      b.box[2] * scaleX + left,
      b.box[3] * scaleY + top,
    ] as const;
    if (!visible) {
      mapped.push({ ...b, box: moved });
      continue;
    }
    const cut = [
      Math.max(moved[0], visible[0]),
      Math.max(moved[1], visible[1]),
      Math.min(moved[2], visible[2]),
      Math.min(moved[3], visible[3]),
    ] as const;
    if (cut[2] > cut[0] && cut[3] > cut[1]) mapped.push({ ...b, box: cut });
  }
  return { boxes: mapped, size: { width: frame.width, height: frame.height } };
}
