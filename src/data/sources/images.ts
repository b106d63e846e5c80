import { item } from '../../base/lists.js';
import { resolve } from 'node:path';
import { fail, type Where } from '../../base/errors.js';
import { readText, sha256, textOf } from '../files.js';
import { beginsAsImage, IMAGE_HEAD, isImageName } from '../image.js';
import { openImageTree, type ImageTree } from '../image-tree.js';
import { createImageReader } from '../preprocess.js';
import type { OpenSource } from '../source.js';

/**
 * `images:` — class folders (label = index of the folder in `classes`, else among the sorted names) or a flat folder
 * without labels, as a folder or in a .tar or .zip archive.
 */
export const openImages: OpenSource = async (spec, inputs, context) => {
  const root = resolve(context.baseDir, spec.images ?? '.');
  const tree = await openImageTree(root);
  const reader = createImageReader(spec, inputs, context.onDiagnostic);
  const flat = tree.top.files.filter(isImageName);
  const paths: string[] = [];
  const labels: number[] = [];
  let classes: readonly string[] | undefined;
  const filled = await filledFolders(tree);
  if (flat.length && filled.length)
    fail(
      'DATA_FORMAT',
      `${root} holds images (${flat[0]}) beside folders of images (${item(filled, 0).name})`,
      tree.where(item(flat, 0)),
      'move the images into class folders, or name one folder',
    );
  if (flat.length) paths.push(...flat);
  else {
    classes = (await readClasses(spec.classes, context.baseDir)) ?? filled.map((f) => f.name);
    const names = new Set(filled.map((f) => f.name));
    const empty = classes.filter((name) => !names.has(name));
    if (empty.length) {
      const message =
        `${
          empty.length === 1
            ? `class '${empty[0]}' has`
            : `${empty.length} of ${classes.length} classes (${someNames(empty)}) have`
        } ` + `no image in ${root}`;
      context.onDiagnostic?.({ severity: 'warning', code: 'DATA_LABEL', message, where: { file: root } });
    }
    for (const { name, files } of filled) {
      const label = classes.indexOf(name);
      if (label < 0)
        fail(
          'DATA_LABEL',
          `folder '${name}' is not one of the ${classes.length} classes`,
          tree.where(name),
          'add it to classes, or remove the folder',
        );
      for (const file of files) {
        paths.push(`${name}/${file}`);
        labels.push(label);
      }
    }
  }
  if (!paths.length)
    fail(
      'DATA_MISSING',
      `${root} holds no image`,
      { file: root },
      'expected .jpg, .png, .webp, .gif, .tiff or .avif files, or class folders of them',
    );
  return {
    kind: 'listed',
    count: paths.length,
    id: (i) => item(paths, i),
    ...(classes ? { classes, group: (i: number) => item(labels, i) } : {}),
    seemsFine: async (i) => {
      const head = await tree.head(item(paths, i), IMAGE_HEAD);
      return !head || beginsAsImage(head);
    },
    load: async (i) => {
      const id = item(paths, i);
      const bytes = await tree.read(id);
      const feed = await reader.read(bytes, tree.where(id));
      return { feeds: [feed], hash: sha256(bytes), ...(classes ? { label: item(labels, i) } : {}) };
    },
    hash: async (i) => sha256(await tree.read(item(paths, i))),
    details: { source: 'images', preprocess: reader.details },
  };
};

/** Folders with images somewhere inside, in order of their names. */
const filledFolders = async (
  tree: ImageTree,
): Promise<{ readonly name: string; readonly files: readonly string[] }[]> =>
  (await Promise.all(tree.top.folders.map(async (name) => ({ name, files: await tree.images(name) })))).filter(
    (f) => f.files.length > 0,
  );

/** What an `images:` folder or archive tells of classes before it is opened. */
export interface ClassFolders {
  /** Names of the class folders; none where it is flat, or not readable (opening it tells what is wrong). */
  readonly names: readonly string[];
  /** The class names that a text file in it lists, or undefined where there is none. Throws as `readClasses`. */
  list(file: string): Promise<readonly string[] | undefined>;
}
export async function classFolders(root: string): Promise<ClassFolders> {
  const tree = await openImageTree(root).catch(() => undefined);
  return {
    names: !tree || tree.top.files.some(isImageName) ? [] : (await filledFolders(tree)).map((f) => f.name),
    list: async (file) =>
      tree?.has(file) ? namesOf(textOf(await tree.read(file), tree.where(file).file), tree.where(file)) : undefined,
  };
}

/** The first names of a list, and how many more there are. */
export const someNames = (names: readonly string[], most = 12): string =>
  `${names.slice(0, most).join(', ')}${names.length > most ? ` and ${names.length - most} more` : ''}`;

/** Class names from a list or a text file, or undefined where none are declared. Throws DATA_LABEL for doubles. */
export async function readClasses(
  classes: string | readonly string[] | undefined,
  baseDir: string,
): Promise<readonly string[] | undefined> {
  if (classes === undefined) return undefined;
  const file = typeof classes === 'string' ? resolve(baseDir, classes) : undefined;
  if (file !== undefined) return namesOf(await readText(file), { file });
  return checked([...(classes as readonly string[])], {}); // a list wherever it is not a path
}

/** One name per line; a single line holds names separated by spaces. */
function namesOf(text: string, where: Where): readonly string[] {
  const lines = text
    .split(/\r?\n/)
    .map((l) => l.trim())
    .filter((l) => l !== '');
  return checked(lines.length === 1 ? item(lines, 0).split(/\s+/) : lines, where);
}

function checked(names: readonly string[], where: Where): readonly string[] {
  if (!names.length) fail('DATA_LABEL', 'classes is empty', where);
  const double = names.find((n, i) => names.indexOf(n) !== i);
  if (double !== undefined) fail('DATA_LABEL', `class '${double}' is listed twice`, where);
  return names;
}
