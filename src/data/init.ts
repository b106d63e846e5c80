import { item } from '../base/lists.js';
import { basename, dirname, join } from 'node:path';
import { fail } from '../base/errors.js';
import { kindOf, listFolder, readText, walkFiles } from './files.js';
import { isImageName } from './image.js';
import { isMessages } from './language/chat.js';
import { readClasses } from './sources/images.js';
import type { DataSpecInput } from './spec.js';
import { readTable } from './table.js';
import { tarEntries } from './tar.js';

/**
 * A first data spec for a file or folder, from its names and headers; paths in it start with `path` as given. What
 * names cannot tell (preprocessing, shapes of raw files) is left for the user. A tokenizer is looked for beside the
 * data, and in the folders `near`. Throws DATA_MISSING, or DATA_FORMAT where nothing is recognized.
 */
export async function guessDataSpec(path: string, near: readonly string[] = []): Promise<DataSpecInput> {
  return (await kindOf(path)) === 'folder' ? guessFolder(path) : guessFile(path, near);
}

async function guessFolder(path: string): Promise<DataSpecInput> {
  const { files, folders } = await listFolder(path);
  const ends = (extension: string): boolean => files.some((f) => f.toLowerCase().endsWith(extension));
  if (folders.some((f) => /^test_data_set_\d+$/.test(f)) || files.some((f) => /^input_\d+\.pb$/.test(f)))
    return { testData: path };
  if (ends('.tar')) return { webdataset: path };
  if (ends('.npz')) return { npz: path };
  if (ends('.npy')) return { npy: path };
  if (files.some(isImageName)) return { images: path };
  for (const folder of folders) {
    if (!(await walkFiles(join(path, folder), isImageName)).length) continue;
    const classes = await classFile(path, folders);
    return classes === undefined ? { images: path } : { images: path, classes };
  }
  return fail(
    'DATA_FORMAT',
    `${path} holds nothing that is recognized as data`,
    { file: path },
    'expected images, class folders of images, .tar, .npy or .npz files, or test_data_set_* folders',
  );
}

/** classes.txt in the folder or beside it, if it names every class folder. */
async function classFile(path: string, folders: readonly string[]): Promise<string | undefined> {
  for (const candidate of [join(path, 'classes.txt'), join(dirname(path), 'classes.txt')]) {
    const names = await readClasses(candidate, '.').catch(() => undefined);
    if (names && folders.every((f) => names.includes(f))) return candidate;
  }
  return undefined;
}

async function guessFile(path: string, near: readonly string[]): Promise<DataSpecInput> {
  const extension = /\.[^.]+$/.exec(path.toLowerCase())?.[0];
  switch (extension) {
    case '.npy':
      return { npy: path };
    case '.npz':
      return { npz: path };
    case '.tar':
      return (await hasLabels(path)) ? { webdataset: path } : { images: path };
    case '.zip':
      return { images: path };
    case '.js':
    case '.mjs':
      return { module: path };
    case '.csv':
    case '.tsv':
      return guessTable(path, near);
    case '.jsonl':
    case '.ndjson':
      return guessLines(path, near);
    case '.txt':
      return { text: path, tokenizer: await tokenizerNear(path, near) };
    default:
      return fail(
        'DATA_FORMAT',
        `${basename(path)} is not recognized as data`,
        { file: path },
        'expected .npy, .npz, .tar, .zip, .csv, .tsv, .jsonl, .txt or .mjs; raw files need raw, shape and dtype',
      );
  }
}

/** Whether a tar is a shard: labels lie beside its images, under their names, where an archive of folders has none. */
async function hasLabels(path: string): Promise<boolean> {
  let [image, json] = ['', ''];
  for await (const { name } of tarEntries(path)) {
    const key = name.replace(/\.[^./]*$/, '');
    if (/\.cls$/i.test(name)) return true;
    if (isImageName(name)) image = key;
    if (/\.json$/i.test(name)) json = key;
    if (image !== '' && image === json) return true;
  }
  return false;
}

/** A column of image names makes an image list; else text columns beside a tokenizer.json. */
async function guessTable(path: string, near: readonly string[]): Promise<DataSpecInput> {
  const { header = [], rows } = await readTable(path, true);
  const sample = rows.slice(0, 20);
  const column = (test: (cell: string) => boolean): string[] =>
    header.filter((_, c) => sample.every((r) => test(item(r.cells, c))));
  const [image] = column(isImageName);
  const isNumber = (cell: string): boolean => cell.trim() !== '' && Number.isFinite(Number(cell));
  const numeric = column(isNumber);
  if (image !== undefined) {
    const label = header.find((h) => /^(label|class|target|y)$/i.test(h)) ?? numeric[0] ?? null;
    return { imageList: path, columns: { path: image, label } };
  }
  const tokenizer = await tokenizerNear(path, near);
  const texts = header.filter((h) => !numeric.includes(h)).slice(0, 2);
  if (!texts.length) fail('DATA_FORMAT', `${path} has no column of text`, { file: path });
  return { text: path, tokenizer, fields: texts, ...(numeric[0] === undefined ? {} : { label: numeric[0] }) };
}

async function tokenizerNear(path: string, near: readonly string[]): Promise<string> {
  for (const folder of [dirname(path), ...near])
    if ((await listFolder(folder)).files.includes('tokenizer.json')) return join(folder, 'tokenizer.json');
  return fail(
    'DATA_FORMAT',
    `${path} names no images, and no tokenizer.json lies beside it${near.length ? ' or beside the model' : ''}`,
    { file: path },
    'put tokenizer.json of the model beside it',
  );
}

const LABEL = /^(label|class|target|score|y)$/i;
const answerOf = (keys: readonly string[]): string => keys.find((k) => /^(answer|label|gold)$/i.test(k)) ?? 'answer';

/**
 * JSON lines: token ids, questions with choices, chat messages and texts by their names; else the first two fields that
 * hold texts, and of the numbers the one that is called as a label, else the first that is no id.
 */
async function guessLines(path: string, near: readonly string[]): Promise<DataSpecInput> {
  const lines = (await readText(path))
    .split('\n')
    .filter((l) => l.trim() !== '')
    .slice(0, 20);
  if (lines.length && lines.every((line) => /^\s*\[[\s\d,]*\]\s*$/.test(line))) return { tokens: path };
  const rows = lines.map((line, i): Record<string, unknown> => {
    try {
      const value: unknown = JSON.parse(line);
      // checked
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
    } catch {
      /* told of below */
    }
    return fail(
      'DATA_FORMAT',
      `line ${i + 1} of ${basename(path)} is no JSON object`,
      { file: path, line: i + 1 },
      'JSON lines hold one object each, such as {"text": "…", "label": 1}',
    );
  });
  const keys = Object.keys(rows[0] ?? {});
  const every = (key: string, test: (v: unknown) => boolean): boolean => rows.every((r) => test(r[key]));
  if (every('input_ids', Array.isArray)) return { tokens: path };
  const tokenizer = await tokenizerNear(path, near);
  if (every('choices', Array.isArray)) return { text: path, tokenizer, choices: { answer: answerOf(keys) } };
  if (every('messages', isMessages)) return { text: path, tokenizer, fields: ['messages'] };
  if (every('text', (v) => typeof v === 'string') && !keys.some((k) => LABEL.test(k)))
    return { text: path, tokenizer, fields: ['text'] };
  const texts = keys.filter((k) => rows.every((r) => typeof r[k] === 'string')).slice(0, 2);
  const numbers = keys.filter((k) => rows.every((r) => typeof r[k] === 'number'));
  const label = numbers.find((k) => LABEL.test(k)) ?? numbers.find((k) => !/^(id|idx|index)$/i.test(k));
  if (!texts.length) fail('DATA_FORMAT', `${path} has no field of text`, { file: path });
  return {
    text: path,
    tokenizer,
    fields: texts,
    ...(label === undefined ? {} : { label }),
  };
}
