import { item, named } from '../../base/lists.js';
import { resolve } from 'node:path';
import { fail } from '../../base/errors.js';
import { framedTarget } from '../annotations/boxes.js';
import { readCoco } from '../annotations/coco.js';
import { readVoc } from '../annotations/voc.js';
import { kindOf, sha256 } from '../files.js';
import { beginsAsImage, IMAGE_HEAD } from '../image.js';
import { openImageTree } from '../image-tree.js';
import { createImageReader } from '../preprocess.js';
import type { OpenSource } from '../source.js';
import { readClasses } from './images.js';

/**
 * `images:` with `annotations:` — the images that are both in the folder or archive and in the annotations, with
 * their objects as targets.
 */
export const openAnnotatedImages: OpenSource = async (spec, inputs, context) => {
  const root = resolve(context.baseDir, spec.images ?? '.');
  const file = resolve(context.baseDir, spec.annotations ?? '.');
  const given = await readClasses(spec.classes, context.baseDir);
  const folder = (await kindOf(file)) === 'folder';
  if (folder && spec.categoryIds)
    fail(
      'DATA_LABEL',
      `${file} is a folder of VOC files, which have no category ids`,
      { file },
      'leave categoryIds out',
    );
  const { images, classes, keyOf } = folder
    ? await readVoc(file, given)
    : await readCoco(file, given, spec.categoryIds ?? false);
  const tree = await openImageTree(root);
  const all = await tree.images('');
  const paths = all.filter((path) => images.has(keyOf(path)));
  if (!paths.length)
    fail(
      'DATA_MISSING',
      `none of the ${all.length} images in ${root} is among the ${images.size} of ${file}`,
      { file },
      'file_name of a COCO file is relative to images; VOC files have the names of the images',
    );
  const missing = images.size - new Set(paths.map(keyOf)).size;
  const warn = (message: string): void =>
    context.onDiagnostic?.({ severity: 'warning', code: 'DATA_ANNOTATIONS', message, where: { file } });
  if (missing > 0) warn(`${missing} of ${images.size} annotated images are not in ${root}`);
  if (paths.length < all.length)
    warn(
      `${all.length - paths.length} of ${all.length} images in ${root} have no annotation and are left out ` +
        `('${all.find((p) => !images.has(keyOf(p))) ?? ''}' first)`,
    );
  const reader = createImageReader(spec, inputs, context.onDiagnostic);
  return {
    kind: 'listed',
    count: paths.length,
    id: (i) => item(paths, i),
    ...(classes ? { classes } : {}),
    seemsFine: async (i) => {
      const head = await tree.head(item(paths, i), IMAGE_HEAD);
      return !head || beginsAsImage(head);
    },
    load: async (i) => {
      const id = item(paths, i);
      const where = tree.where(id);
      const bytes = await tree.read(id);
      const { feed, frame } = await reader.readFramed(bytes, where);
      const { boxes, width, height } = named(images, keyOf(id)); // paths were filtered by it
      const { original } = frame;
      if (width !== undefined && (width !== original.width || height !== original.height))
        fail(
          'DATA_FORMAT',
          `${id} has ${original.width} × ${original.height} pixels, but its annotation says ${width} × ` +
            `${height ?? 0}, so its boxes would not fit`,
          where,
          'use the images that were annotated; images turned by EXIF are decoded upright',
        );
      return { feeds: [feed], hash: sha256(bytes), target: framedTarget(boxes, frame) };
    },
    hash: async (i) => sha256(await tree.read(item(paths, i))),
    details: { source: 'images', annotations: folder ? 'voc' : 'coco', preprocess: reader.details },
  };
};
