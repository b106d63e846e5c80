import { item } from '../../base/lists.js';
import { basename } from 'node:path';
import { fail } from '../../base/errors.js';
import { expandPaths, readRange, sha256 } from '../files.js';
import { isImageName } from '../image.js';
import { createImageReader } from '../preprocess.js';
import type { OpenSource } from '../source.js';
import { tarEntries, type TarEntry } from '../tar.js';
import { classIndex } from './image-list.js';
import { readClasses } from './images.js';

/** Where one sample lies: the shard, its image and its label member. */
interface Member {
  readonly shard: number;
  readonly key: string;
  readonly image: TarEntry;
  readonly label: TarEntry | undefined;
}

/**
 * `webdataset:` — tar shards whose neighbouring members `key.jpg` and `key.cls` (or `key.json` with `label` or `cls`)
 * form a sample. Only positions are held in memory; bytes are read when a sample is asked for.
 * Source: https://github.com/webdataset/webdataset#the-webdataset-format
 */
export const openWebdataset: OpenSource = async (spec, inputs, context) => {
  const given = spec.webdataset ?? '.';
  const shards: string[] = [];
  for (const pattern of typeof given === 'string' ? [given] : given)
    shards.push(...(await expandPaths(pattern, context.baseDir, '.tar')));
  const classes = await readClasses(spec.classes, context.baseDir);
  const reader = createImageReader(spec, inputs, context.onDiagnostic);
  const members: Member[] = [];
  for (const [shard, path] of shards.entries()) members.push(...(await indexShard(path, shard)));
  if (!members.length) fail('DATA_MISSING', `no shard holds an image: ${shards.join(', ')}`, { file: item(shards, 0) });
  const withLabel = members.findIndex((m) => m.label !== undefined);
  const without = members.findIndex((m) => m.label === undefined);
  const id = (i: number): string => {
    const m = item(members, i);
    return `${basename(item(shards, m.shard))}/${m.key}`;
  };
  if (withLabel >= 0 && without >= 0)
    fail('DATA_LABEL', `'${id(without)}' has no .cls or .json label, but '${id(withLabel)}' has`, {
      file: item(shards, item(members, without).shard),
      sample: id(without),
    });
  return {
    kind: 'listed',
    count: members.length,
    id,
    ...(classes ? { classes } : {}),
    load: async (i) => {
      const { shard, image, label } = item(members, i);
      const file = item(shards, shard);
      const where = { file, sample: id(i) };
      const bytes = await readRange(file, image.offset, image.size, where.sample);
      const feed = await reader.read(bytes, where);
      if (!label) return { feeds: [feed], hash: sha256(bytes) };
      const text = new TextDecoder().decode(await readRange(file, label.offset, label.size, where.sample));
      return {
        feeds: [feed],
        hash: sha256(bytes),
        label: classIndex(label.name.toLowerCase().endsWith('.json') ? jsonLabel(text, where) : text, classes, where),
      };
    },
    details: { shards: shards.length, preprocess: reader.details },
  };
};

async function indexShard(path: string, shard: number): Promise<Member[]> {
  const out: Member[] = [];
  let key: string | undefined;
  let image: TarEntry | undefined;
  let label: TarEntry | undefined;
  const flush = (): void => {
    if (key !== undefined && image) out.push({ shard, key, image, label });
    image = undefined;
    label = undefined;
  };
  for await (const entry of tarEntries(path)) {
    const slash = entry.name.lastIndexOf('/') + 1;
    const dot = entry.name.indexOf('.', slash);
    if (dot <= slash) continue; // hidden files and names without an extension
    const entryKey = entry.name.slice(0, dot);
    if (entryKey !== key) {
      flush();
      key = entryKey;
    }
    if (isImageName(entry.name)) {
      if (image)
        fail('DATA_FORMAT', `'${entryKey}' in ${path} has two images: ${image.name} and ${entry.name}`, {
          file: path,
          sample: entryKey,
          offset: entry.offset,
        });
      image = entry;
    } else if (/\.cls$/i.test(entry.name) || (/\.json$/i.test(entry.name) && !label)) {
      if (entry.size > 1 << 20)
        fail('DATA_LABEL', `the label ${entry.name} in ${path} has ${entry.size} bytes`, {
          file: path,
          sample: entryKey,
          offset: entry.offset,
        });
      label = entry;
    }
  }
  flush();
  return out;
}

function jsonLabel(text: string, where: { readonly file: string; readonly sample: string }): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    return fail('DATA_LABEL', `the .json of '${where.sample}' cannot be parsed`, where, undefined, cause);
  }
  const fields =
    typeof value === 'object' && value !== null
      ? new Map<string, unknown>(Object.entries(value))
      : new Map<string, unknown>();
  const label = fields.get('label') ?? fields.get('cls');
  if (typeof label !== 'number' && typeof label !== 'string')
    fail('DATA_LABEL', `the .json of '${where.sample}' has no label or cls`, where);
  return String(label);
}
