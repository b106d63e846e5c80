/**
 * Objects from Pascal VOC annotations. Source: VOC2007 Development Kit
 * (http://host.robots.ox.ac.uk/pascal/VOC/voc2007/devkit_doc_07-Jun-2007.pdf).
 */
import { item } from '../../base/lists.js';
import { join } from 'node:path';
import { fail } from '../../base/errors.js';
import type { TargetBox } from '../../ir/feed.js';
import { listFolder, readText } from '../files.js';
import type { AnnotatedImage, Annotations } from './boxes.js';

/**
 * The objects of a folder of .xml files, one per image of the same name. Pixels of VOC count from 1 and the last
 * belongs to the box, so that (xmin − 1, ymin − 1, xmax, ymax) are its edges. Classes are `classes`, else the names in
 * order. Throws DATA_FORMAT, or DATA_LABEL for an object that is not one of `classes`, naming file and object.
 */
export async function readVoc(folder: string, classes: readonly string[] | undefined): Promise<Annotations> {
  const files = (await listFolder(folder)).files.filter((f) => /\.xml$/i.test(f));
  if (!files.length)
    fail(
      'DATA_MISSING',
      `${folder} holds no .xml file`,
      { file: folder },
      'expected Pascal VOC annotations, or name a COCO .json file',
    );
  const read: { key: string; objects: readonly VocObject[]; size: Omit<AnnotatedImage, 'boxes'> }[] = [];
  for (const name of files) {
    const file = join(folder, name);
    const text = await readText(file, 16 * 2 ** 20);
    if (!/<annotation[\s>]/.test(text) || !/<\/annotation>\s*$/.test(text))
      fail(
        'DATA_FORMAT',
        `${file} is no intact Pascal VOC annotation`,
        { file },
        'expected <annotation>…</annotation>',
      );
    const size = inner(text, 'size') ?? '';
    const [width, height] = [Number(inner(size, 'width')), Number(inner(size, 'height'))];
    read.push({
      key: name.replace(/\.xml$/i, ''),
      objects: objectsOf(text, file),
      size: width > 0 && height > 0 ? { width, height } : {},
    });
  }
  const names = classes ?? [...new Set(read.flatMap((r) => r.objects.map((o) => o.name)))].sort();
  return {
    classes: names,
    keyOf: (path) => (path.split('/').at(-1) ?? '').replace(/\.[^.]*$/, ''),
    images: new Map(
      read.map(({ key, objects, size }) => [
        key,
        {
          ...size,
          boxes: objects.map(({ name, box, difficult, line }): TargetBox => {
            const label = names.indexOf(name);
            const file = join(folder, `${key}.xml`);
            if (label < 0)
              fail(
                'DATA_LABEL',
                `object '${name}' in line ${line} of ${file} is not one of the ${names.length} classes`,
                { file, line },
                'add it to classes, or leave classes out',
              );
            return { box, label, ...(difficult ? { difficult } : {}) };
          }),
        },
      ]),
    ),
  };
}

interface VocObject {
  readonly name: string;
  readonly box: TargetBox['box'];
  readonly difficult: boolean;
  readonly line: number;
}

function objectsOf(text: string, file: string): VocObject[] {
  let line = 1;
  return text.split('<object>').flatMap((part, i, parts) => {
    line += i ? item(parts, i - 1).split('\n').length - 1 : 0; // parts before this one
    if (i === 0) return [];
    const end = part.indexOf('</object>');
    if (end < 0) return fail('DATA_FORMAT', `the object in line ${line} of ${file} does not end`, { file, line });
    // Parts of a person (head, hand) are boxes of their own within the object.
    const body = part
      .slice(0, end)
      .split('<part>')
      .map((p, k) => (k ? p.slice(Math.max(0, p.indexOf('</part>'))) : p))
      .join('');
    const name = inner(body, 'name')?.trim();
    if (!name) return fail('DATA_FORMAT', `the object in line ${line} of ${file} has no name`, { file, line });
    const bounds = inner(body, 'bndbox') ?? '';
    const [left, top, right, bottom] = ['xmin', 'ymin', 'xmax', 'ymax'].map((key) =>
      Number(inner(bounds, key)?.trim() || NaN),
    ) as [number, number, number, number]; // four in, four out
    if (![left, top, right, bottom].every(Number.isFinite) || right < left || bottom < top)
      fail('DATA_FORMAT', `object '${name}' in line ${line} of ${file} has no bndbox of xmin ≤ xmax and ymin ≤ ymax`, {
        file,
        line,
      });
    return [
      { name, line, box: [left - 1, top - 1, right, bottom], difficult: inner(body, 'difficult')?.trim() === '1' },
    ];
  });
}

/** What lies between the first tags of a name. */
function inner(text: string, tag: string): string | undefined {
  const start = text.indexOf(`<${tag}>`);
  const end = start < 0 ? -1 : text.indexOf(`</${tag}>`, start);
  return end < 0 ? undefined : text.slice(start + tag.length + 2, end);
}
