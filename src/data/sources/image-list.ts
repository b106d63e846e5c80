import { item } from '../../base/lists.js';
import { dirname, resolve } from 'node:path';
import { fail } from '../../base/errors.js';
import { readBytes, readRange, sha256 } from '../files.js';
import { beginsAsImage, IMAGE_HEAD } from '../image.js';
import { createImageReader } from '../preprocess.js';
import type { OpenSource } from '../source.js';
import { columnOf, readTable } from '../table.js';
import { readClasses } from './images.js';

/** `imageList:` — a table of image paths (relative to the table) and labels: class numbers, or names of `classes`. */
export const openImageList: OpenSource = async (spec, inputs, context) => {
  const file = resolve(context.baseDir, spec.imageList ?? '.');
  const columns = spec.columns ?? { path: 'path', label: 'label' };
  const table = await readTable(file, typeof columns.path === 'string' || typeof columns.label === 'string');
  const pathColumn = columnOf(table, columns.path, file);
  const labelColumn = columns.label === null ? undefined : columnOf(table, columns.label, file);
  const classes = await readClasses(spec.classes, context.baseDir);
  const labels =
    labelColumn === undefined
      ? undefined
      : table.rows.map((r) => classIndex(item(r.cells, labelColumn), classes, { file, line: r.line }));
  const reader = createImageReader(spec, inputs, context.onDiagnostic);
  const folder = dirname(file);
  return {
    kind: 'listed',
    count: table.rows.length,
    id: (i) => item(item(table.rows, i).cells, pathColumn),
    ...(classes ? { classes } : {}),
    ...(labels ? { group: (i: number) => item(labels, i) } : {}),
    load: async (i) => {
      const { cells, line } = item(table.rows, i);
      const id = item(cells, pathColumn);
      if (!id || id.includes('\0')) fail('DATA_FORMAT', `line ${line} of ${file} has no image path`, { file, line });
      const image = resolve(folder, id);
      const bytes = await readBytes(image, id, 2 ** 30);
      return {
        feeds: [await reader.read(bytes, { file: image, sample: id })],
        hash: sha256(bytes),
        ...(labels ? { label: item(labels, i) } : {}),
      };
    },
    seemsFine: async (i) => {
      const id = item(table.rows, i).cells[pathColumn]!;
      return beginsAsImage(await readRange(resolve(folder, id), 0, IMAGE_HEAD, id));
    },
    hash: async (i) => {
      const id = item(item(table.rows, i).cells, pathColumn);
      return sha256(await readBytes(resolve(folder, id), id, 2 ** 30));
    },
    details: { preprocess: reader.details },
  };
};

/**
 * Class number of a label: a name of `classes`, or a whole number from 0 (below the number of classes). Throws
 * DATA_LABEL.
 */
export function classIndex(
  text: string,
  classes: readonly string[] | undefined,
  where: { readonly file: string; readonly line?: number; readonly sample?: string },
): number {
  const label = text.trim();
  const named = classes?.indexOf(label) ?? -1;
  if (named >= 0) return named;
  if (label === '')
    fail(
      'DATA_LABEL',
      'the label is empty',
      where,
      'give a class number or name; columns: { label: null } where there are none',
    );
  const index = /^\d+$/.test(label) ? Number(label) : NaN;
  if (!Number.isSafeInteger(index))
    fail(
      'DATA_LABEL',
      `label '${label.slice(0, 60)}' is neither a class number nor one of classes`,
      where,
      classes ? `classes are ${classes.slice(0, 12).join(', ')}` : 'declare classes to use names',
    );
  if (classes && index >= classes.length)
    fail(
      'DATA_LABEL',
      `label ${index} is out of range for ${classes.length} classes`,
      where,
      `expected 0..${classes.length - 1}`,
    );
  return index;
}
