/** A folder of images, or a tar or zip archive of one: the same names in the same order, the same bytes. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fail, type Where } from '../base/errors.js';
import { kindOf, listFolder, readBytes, readRange, walkFiles, type Listing } from './files.js';
import { isImageName } from './image.js';
import { tarEntries } from './tar.js';
import { zipEntries } from './zip.js';

export interface ImageTree {
  readonly root: string;
  /** Names at the top in code-unit order, hidden ones left out. */
  readonly top: Listing;
  /** Names, with `/`, of the images below a folder of the top ('' is all), sorted folder by folder. */
  images(folder: string): Promise<readonly string[]>;
  has(name: string): boolean;
  read(name: string): Promise<Uint8Array>;
  /** The first bytes of a file; undefined where they cannot be had without the others. */
  head(name: string, bytes: number): Promise<Uint8Array | undefined>;
  /** Where errors say that a file lies. */
  where(name: string): Where & { readonly file: string; readonly sample: string };
}

const LIMIT = 2 ** 30;
/** As file systems have it; longer names would make folders without end. */
const LONGEST_NAME = 4096;

/** Opens a folder or an archive; reads names, not images. Throws DATA_MISSING, DATA_FORMAT, DATA_UNSAFE. */
export async function openImageTree(root: string): Promise<ImageTree> {
  if ((await kindOf(root)) === 'folder') return folderTree(root);
  if (/\.zip$/i.test(root)) return archiveTree(root, await zipFiles(root));
  if (/\.tar$/i.test(root)) return archiveTree(root, await tarFiles(root));
  return fail(
    'DATA_FORMAT',
    `${root} is a file, but images: names a folder, or a .tar or .zip archive of one`,
    { file: root },
    'name the folder or archive, or use imageList',
  );
}

async function folderTree(root: string): Promise<ImageTree> {
  const where = (name: string) => ({ file: join(root, name), sample: name });
  return {
    root,
    top: await listFolder(root),
    images: (folder) => walkFiles(join(root, folder), isImageName),
    has: (name) => existsSync(join(root, name)),
    read: (name) => readBytes(where(name).file, name, LIMIT),
    head: (name, bytes) => readRange(where(name).file, 0, bytes, name),
    where,
  };
}

/** Reads a file of an archive, and its first bytes where it is stored as it is. */
interface Read {
  (): Promise<Uint8Array>;
  readonly head?: (bytes: number) => Promise<Uint8Array>;
}

async function tarFiles(root: string): Promise<Map<string, Read>> {
  const files = new Map<string, Read>();
  for await (const { name, offset, size } of tarEntries(root))
    add(
      files,
      root,
      name,
      Object.assign(
        () => {
          if (size > LIMIT)
            fail('DATA_UNSAFE', `${name} of ${root} has ${size} bytes, over the limit of ${LIMIT}`, {
              file: root,
              sample: name,
            });
          return readRange(root, offset, size, name);
        },
        { head: (bytes: number) => readRange(root, offset, Math.min(size, bytes), name) },
      ),
    );
  return files;
}

async function zipFiles(root: string): Promise<Map<string, Read>> {
  const files = new Map<string, Read>();
  for (const { name, read } of await zipEntries(root))
    add(files, root, name, () => read(LIMIT, { file: root, sample: name }));
  return files;
}

/** A later entry of a name replaces an earlier one, as unpacking does. What listing a folder leaves out is left out. */
function add(files: Map<string, Read>, root: string, name: string, read: Read): void {
  if (name.length > LONGEST_NAME)
    fail('DATA_UNSAFE', `a name in ${root} has ${name.length} characters, over ${LONGEST_NAME}`, {
      file: root,
      sample: name,
    });
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (!parts.length || parts.some((part) => part.startsWith('.') || part === '__MACOSX')) return;
  files.set(parts.join('/'), read);
}

/** A folder that holds all images (`tar cf images.tar images`) is no class, and is left out of their names. */
function archiveTree(root: string, files: ReadonlyMap<string, Read>): ImageTree {
  const found = [...files.keys()].filter(isImageName);
  let prefix = found[0]?.slice(0, found[0].lastIndexOf('/') + 1) ?? '';
  for (const name of found)
    while (!name.startsWith(prefix)) prefix = prefix.slice(0, prefix.lastIndexOf('/', prefix.length - 2) + 1);
  const names = found.map((name) => name.slice(prefix.length)).sort(folderByFolder);
  const byFolder = new Map<string, string[]>();
  for (const name of names) {
    const slash = name.indexOf('/');
    const folder = name.slice(0, Math.max(0, slash));
    const inside = byFolder.get(folder);
    if (inside) inside.push(name.slice(slash + 1));
    else byFolder.set(folder, [name.slice(slash + 1)]);
  }
  const where = (name: string) => ({ file: root, sample: name });
  const find = (name: string): Read | undefined => files.get(prefix + name) ?? files.get(name);
  return {
    root,
    top: { files: byFolder.get('') ?? [], folders: [...byFolder.keys()].filter((folder) => folder !== '') },
    images: (folder) => Promise.resolve(folder === '' ? names : (byFolder.get(folder) ?? [])),
    has: (name) => find(name) !== undefined,
    read: (name) => {
      const read = find(name);
      return read ? read() : fail('DATA_MISSING', `${root} holds no '${name}'`, where(name));
    },
    head: async (name, bytes) => find(name)?.head?.(bytes),
    where,
  };
}

/** The order in which a folder is walked: the files of a folder, then its folders one by one. */
function folderByFolder(a: string, b: string): number {
  for (let at = 0; ;) {
    const [i, j] = [a.indexOf('/', at), b.indexOf('/', at)];
    if (i < 0 !== j < 0) return i < 0 ? -1 : 1;
    const [x, y] = [a.slice(at, i < 0 ? undefined : i), b.slice(at, j < 0 ? undefined : j)];
    if (x !== y) return x < y ? -1 : 1;
    if (i < 0) return 0;
    at = i + 1;
  }
}
