/** Objects from a COCO file. Source: https://cocodataset.org/#format-data */
import { fail } from '../../base/errors.js';
import type { TargetBox } from '../../ir/feed.js';
import { readText } from '../files.js';
import { kindName, property } from '../user-module.js';
import type { AnnotatedImage, Annotations } from './boxes.js';

/**
 * The objects of every image of a COCO `instances` file, up to 256 MiB. bbox [x, y, width, height] becomes corners;
 * iscrowd is kept. Throws DATA_FORMAT naming the id of what is malformed, DATA_LABEL for a category that is not one of
 * `classes`.
 */
export async function readCoco(
  file: string,
  classes: readonly string[] | undefined,
  categoryIds: boolean,
): Promise<Annotations> {
  const text = await readText(file);
  const where = { file };
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    fail(
      'DATA_FORMAT',
      `${file} is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
      where,
      'expected a COCO instances file, or a folder of VOC .xml files',
      cause,
    );
  }
  const list = (key: string): readonly unknown[] => {
    const found = property(content, key);
    return Array.isArray(found)
      ? found
      : fail(
          'DATA_FORMAT',
          `${file} has no list of ${key}: it is ${kindName(found)}`,
          where,
          'a COCO file has images, annotations and categories',
        );
  };
  const categories = readCategories(file, list('categories'));
  const labels = labelsOf(file, categories, classes, categoryIds);
  const images = new Map<string, AnnotatedImage & { readonly boxes: TargetBox[] }>();
  const byId = new Map<number, { readonly boxes: TargetBox[] }>();
  for (const [i, image] of list('images').entries()) {
    const [id, name, width, height] = ['id', 'file_name', 'width', 'height'].map((key) => property(image, key));
    if (!isId(id)) fail('DATA_FORMAT', `images[${i}] of ${file} has no whole number as id`, where);
    if (typeof name !== 'string' || name === '') fail('DATA_FORMAT', `image ${id} of ${file} has no file_name`, where);
    if (byId.has(id) || images.has(name))
      fail('DATA_FORMAT', `image ${id} ('${name}') of ${file} is there twice`, where);
    const made = { boxes: [], ...(isId(width) && isId(height) ? { width, height } : {}) };
    images.set(name, made);
    byId.set(id, made);
  }
  for (const [i, annotation] of list('annotations').entries()) {
    const [given, imageId, category, bbox, crowd] = ['id', 'image_id', 'category_id', 'bbox', 'iscrowd'].map((key) =>
      property(annotation, key),
    );
    const who = isId(given) ? `annotation ${given}` : `annotations[${i}]`;
    const image = isId(imageId) ? byId.get(imageId) : undefined;
    if (!image)
      return fail('DATA_FORMAT', `${who} of ${file} has image_id ${String(imageId)}, which no image has`, where);
    const label = isId(category) ? labels.get(category) : undefined;
    if (label === undefined)
      return fail('DATA_LABEL', `${who} of ${file} has category_id ${String(category)}, which no category has`, where);
    if (!isBox(bbox))
      return fail(
        'DATA_FORMAT',
        `${who} of ${file} has bbox ${JSON.stringify(bbox)}; expected [x, y, width, height] in pixels`,
        where,
      );
    const [x, y, width, height] = bbox;
    image.boxes.push({
      box: [x, y, x + width, y + height],
      label,
      ...(crowd === 1 || crowd === true ? { crowd: true } : {}),
    });
  }
  return {
    images,
    classes: categoryIds ? undefined : (classes ?? categories.map((c) => c.name)),
    keyOf: (path) => path,
  };
}

interface Category {
  readonly id: number;
  readonly name: string;
}

/** By ascending id. */
function readCategories(file: string, list: readonly unknown[]): Category[] {
  const found = list
    .map((category, i): Category => {
      const [id, name] = [property(category, 'id'), property(category, 'name')];
      if (!isId(id)) return fail('DATA_FORMAT', `categories[${i}] of ${file} has no whole number as id`, { file });
      return { id, name: typeof name === 'string' && name !== '' ? name : String(id) };
    })
    .sort((a, b) => a.id - b.id);
  const twice = found.find((c, i) => c.id === found[i - 1]?.id);
  if (twice) fail('DATA_FORMAT', `category ${twice.id} of ${file} is there twice`, { file });
  return found;
}

function labelsOf(
  file: string,
  categories: readonly Category[],
  classes: readonly string[] | undefined,
  categoryIds: boolean,
): ReadonlyMap<number, number> {
  return new Map(
    categories.map(({ id, name }, position) => {
      if (categoryIds) return [id, id];
      const label = classes ? classes.indexOf(name) : position;
      if (label < 0)
        fail(
          'DATA_LABEL',
          `category '${name}' of ${file} is not one of the ${classes?.length ?? 0} classes`,
          { file },
          'add it to classes, or leave classes out',
        );
      return [id, label];
    }),
  );
}

const isId = (v: unknown): v is number => Number.isSafeInteger(v) && Number(v) >= 0;
const isBox = (v: unknown): v is [number, number, number, number] =>
  Array.isArray(v) &&
  v.length === 4 &&
  v.every((n) => typeof n === 'number' && Number.isFinite(n)) &&
  v[2] >= 0 &&
  v[3] >= 0;
