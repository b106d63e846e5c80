/**
 * Which class folder is which score of the model, settled before any work: a wrong order would be a wrong accuracy,
 * silently.
 */
import { item } from '../base/lists.js';
import path from 'node:path';
import { fail, nearest, type Diagnostic } from '../base/errors.js';
import { namesInMetadata, spelledAs } from '../data/class-names.js';
import { classFolders, readClasses, someNames, type ClassFolders } from '../data/sources/images.js';
import type { DataSpec } from '../data/spec.js';
import { classOutput } from '../evaluate/agreement.js';
import type { ChosenMetric } from '../evaluate/types.js';
import type { ValueInfo } from '../ir/feed.js';
import type { ResolvedRecipe } from '../recipe/load.js';

export interface Scores {
  readonly metadata: ReadonlyMap<string, string>;
  readonly outputs: readonly ValueInfo[];
  /** Undefined where they are chosen by what the data hold. */
  readonly metrics: readonly ChosenMetric[] | undefined;
  readonly report: (d: Diagnostic) => void;
}

/** Files beside the class folders that list the classes in the order of the scores. */
const LISTS = ['classes.txt', 'labels.txt'] as const;

/**
 * The recipe with `classes` where names of folders alone would give wrong labels: from a list beside the folders, from
 * the model's metadata, or from the calibration and evaluation folders together where they make as many as there are
 * scores. Throws DATA_LABEL where the folders are fewer or more than the scores and nothing tells which is which.
 */
export async function withClasses(r: ResolvedRecipe, s: Scores): Promise<ResolvedRecipe> {
  const { calibration: c, evaluation: e } = r.recipe;
  const count = scoreCount(s);
  const [ofCalibration, ofEvaluation] = [await lookAt(c.data, r), await lookAt(e.data, r)];
  // without data of its own, evaluation reads those of calibration
  const judged = ofEvaluation ?? (e.data ? undefined : ofCalibration);
  for (const look of new Set([judged, ofCalibration])) if (look?.declared) tellOfFew(look, count, s);
  // what the folders of calibration may be a part of
  const complete = judged !== ofCalibration && judged?.folders.length === count?.count ? judged?.folders : undefined;
  const names = judged && ((await namesFor(judged, ofCalibration, { ...s, count })) ?? complete);
  if (!names) return r;
  const named = (data: DataSpec, look: Look | undefined): DataSpec =>
    look && !look.declared && !spelledAs(look.folders, names).strange.length ? { ...data, classes: [...names] } : data;
  return {
    ...r,
    recipe: {
      ...r.recipe,
      ...(c.data ? { calibration: { ...c, data: named(c.data, ofCalibration) } } : {}),
      ...(e.data ? { evaluation: { ...e, data: named(e.data, ofEvaluation) } } : {}),
    },
  };
}

/** Names of the classes where neither the data nor the recipe has any: as the model's metadata list them. */
export function modelClasses({ metadata, ...s }: Omit<Scores, 'report'>): readonly string[] | undefined {
  const found = namesInMetadata(metadata)?.names;
  return found?.length === scoreCount(s)?.count ? found : undefined;
}

interface Look {
  readonly root: string;
  readonly folders: readonly string[];
  readonly declared: readonly string[] | undefined;
  readonly list: ClassFolders['list'];
}
interface Count {
  readonly count: number;
  readonly output: string;
}

async function lookAt(data: DataSpec | undefined, { baseDir }: ResolvedRecipe): Promise<Look | undefined> {
  if (data?.images === undefined || data.annotations !== undefined) return undefined;
  const root = path.resolve(baseDir, data.images);
  const { names: folders, list } = await classFolders(root);
  return folders.length ? { root, folders, list, declared: await readClasses(data.classes, baseDir) } : undefined;
}

/** How many classes the scored output tells apart; undefined where that is not known, or no metric reads labels. */
export function scoreCount({ outputs, metrics }: Pick<Scores, 'outputs' | 'metrics'>): Count | undefined {
  const reading = metrics?.filter((m) => m.metric.needsLabels);
  if (reading && !reading.length) return undefined;
  const asked = reading
    ?.map(({ options }) =>
      typeof options === 'object' && options !== null && 'output' in options ? options.output : undefined,
    )
    .find((o) => o !== undefined);
  const output = asked === undefined ? classOutput(outputs) : outputs.find((o) => o.name === asked);
  const [, scores, ...rest] = output?.shape ?? [];
  return output && typeof scores === 'number' && rest.every((d) => d === 1)
    ? { count: Math.max(2, scores), output: output.name }
    : undefined; // one score tells two classes apart
}

/** The names in the order of the scores; undefined where the folders' own order is right. */
async function namesFor(
  look: Look,
  calibration: Look | undefined,
  { count: known, metadata, report }: Scores & { readonly count: Count | undefined },
): Promise<readonly string[] | undefined> {
  const { root, folders } = look;
  if (look.declared) return calibration === look ? undefined : look.declared;
  const fits = (names: readonly string[]): boolean => known === undefined || names.length === known.count;
  const take = (names: readonly string[], from: string): readonly string[] => {
    if (names.length !== folders.length || names.some((n, i) => n !== folders[i]))
      report({
        severity: 'note',
        code: 'CLASSES_MATCHED',
        message: `class folders are matched by name with the ${names.length} classes of ${from}`,
        where: { file: root },
      });
    return names;
  };
  for (const file of LISTS) {
    const { names, strange } = spelledAs(folders, (await look.list(file)) ?? []);
    if (names.length && !strange.length && fits(names)) return take(names, path.join(root, file));
  }
  const own = namesInMetadata(metadata);
  if (own && fits(own.names)) {
    const { names, strange } = spelledAs(folders, own.names);
    if (!strange.length) return take(names, `the model's metadata (${own.key})`);
    const near = nearest(item(strange, 0), own.names); // not empty
    if (strange.length < folders.length)
      fail(
        'DATA_LABEL',
        `class folder '${strange[0]}' is none of the ${own.names.length} classes that the model's metadata ` +
          `list under "${own.key}": ${someNames(own.names)}`,
        { file: root },
        `${near === undefined ? '' : `did you mean '${near}'? `}Rename the folder, or list all names as ` +
          'classes in the data block, in the order of the scores',
      );
  }
  if (!known || folders.length === known.count) return undefined;
  const both = [...new Set([...folders, ...(calibration?.declared ?? calibration?.folders ?? [])])];
  const union = calibration?.declared ? calibration.declared : both.sort((a, b) => (a < b ? -1 : 1));
  if (both.length === known.count && union.length === known.count) return take(union, 'the calibration data');
  return fail(
    'DATA_LABEL',
    `${root} has ${folders.length} class folder${folders.length === 1 ? '' : 's'} (${someNames(folders)}), but ` +
      `output '${known.output}' gives ${known.count} scores: which folder is which score cannot be told`,
    { file: root },
    `list all ${known.count} names as classes in the data block, in the order of the scores: classes: ` +
      `[${folders[0]}, …], or a text file with a name on each line, such as ${LISTS[0]} in that folder`,
  );
}

function tellOfFew({ declared, root }: Look, known: Count | undefined, { report }: Scores): void {
  if (!known || !declared || declared.length === known.count) return;
  if (declared.length > known.count)
    fail(
      'DATA_LABEL',
      `classes lists ${declared.length} names, but output '${known.output}' gives ${known.count} scores`,
      { file: root },
      'list a name for each score, in their order',
    );
  report({
    severity: 'warning',
    code: 'DATA_LABEL',
    message:
      `classes lists ${declared.length} names (${someNames(declared)}), but output '${known.output}' gives ` +
      `${known.count} scores: they are taken for the first ${declared.length}`,
    where: { file: root },
    hint: 'list a name for each score, in their order',
  });
}
