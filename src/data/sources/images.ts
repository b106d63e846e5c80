import { join, resolve } from 'node:path';
import { fail } from '../../base/errors.js';
import { listFolder, kindOf, readBytes, readText, sha256, walkFiles } from '../files.js';
import { isImageName } from '../image.js';
import { createImageReader } from '../preprocess.js';
import type { OpenSource } from '../source.js';

/**
 * `images:` — class folders (label = index of the folder in `classes`, else among the sorted names) or a flat folder
 * without labels.
 */
export const openImages: OpenSource = async (spec, inputs, context) => {
  const root = resolve(context.baseDir, spec.images ?? '.');
  if ((await kindOf(root)) !== 'folder')
    fail(
      'DATA_FORMAT',
      `${root} is a file, but images: names a folder`,
      { file: root },
      'name the folder, or use imageList',
    );
  const reader = createImageReader(spec, inputs, context.onDiagnostic);
  const top = await listFolder(root);
  const flat = top.files.filter(isImageName);
  const paths: string[] = [];
  const labels: number[] = [];
  let classes: readonly string[] | undefined;
  const filled = await filledFolders(root, top.folders);
  if (flat.length && filled.length)
    fail(
      'DATA_FORMAT',
      `${root} holds images (${flat[0]}) beside folders of images (${filled[0]!.name})`,
      { file: join(root, flat[0]!) },
      'move the images into class folders, or name one folder',
    );
  if (flat.length) paths.push(...flat);
  else {
    classes = (await readClasses(spec.classes, context.baseDir)) ?? filled.map((f) => f.name);
    const names = new Set(filled.map((f) => f.name));
    const empty = classes.filter((name) => !names.has(name));
    if (empty.length) {
      const message =
        `${empty.length === 1 ? `class '${empty[0]}' has` : `${empty.length} of ${classes.length} classes (${someNames(empty)}) have`} ` +
        `no image in ${root}`;
      context.onDiagnostic?.({ severity: 'warning', code: 'DATA_LABEL', message, where: { file: root } });
    }
    for (const { name, files } of filled) {
      const label = classes.indexOf(name);
      if (label < 0)
        fail(
          'DATA_LABEL',
          `folder '${name}' is not one of the ${classes.length} classes`,
          { file: join(root, name) },
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
    id: (i) => paths[i]!,
    ...(classes ? { classes, group: (i: number) => labels[i]! } : {}),
    load: async (i) => {
      const id = paths[i]!;
      const file = join(root, id);
      const bytes = await readBytes(file, id, 2 ** 30);
      const feed = await reader.read(bytes, { file, sample: id });
      return { feeds: [feed], hash: sha256(bytes), ...(classes ? { label: labels[i]! } : {}) };
    },
    hash: async (i) => sha256(await readBytes(join(root, paths[i]!), paths[i]!, 2 ** 30)),
    details: { source: 'images', preprocess: reader.details },
  };
};

/** Folders with images somewhere inside, in order of their names. */
const filledFolders = async (
  root: string,
  folders: readonly string[],
): Promise<{ readonly name: string; readonly files: readonly string[] }[]> =>
  (
    await Promise.all(folders.map(async (name) => ({ name, files: await walkFiles(join(root, name), isImageName) })))
  ).filter((f) => f.files.length > 0);

/** Names of the class folders of an `images:` folder; none where it is flat, or not there. */
export async function classFolders(root: string): Promise<readonly string[]> {
  if ((await kindOf(root).catch(() => undefined)) !== 'folder') return []; // opening it tells what is wrong
  const top = await listFolder(root);
  return top.files.some(isImageName) ? [] : (await filledFolders(root, top.folders)).map((f) => f.name);
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
  const text = file === undefined ? undefined : await readText(file);
  // One name per line; a single line holds names separated by spaces.
  const lines = text
    ?.split(/\r?\n/)
    .map((l) => l.trim())
    .filter((l) => l !== '');
  // a list wherever it is not a path
  const names = lines ? (lines.length === 1 ? lines[0]!.split(/\s+/) : lines) : [...(classes as readonly string[])];
  if (!names.length) fail('DATA_LABEL', 'classes is empty', file === undefined ? {} : { file });
  const double = names.find((n, i) => names.indexOf(n) !== i);
  if (double !== undefined) fail('DATA_LABEL', `class '${double}' is listed twice`, file === undefined ? {} : { file });
  return names;
}
