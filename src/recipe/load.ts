/** Recipes: from a file or an object to a checked recipe with every default filled in. */
import fs from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { fail, QuantError, type ErrorCode } from '../base/errors.js';
import { reason } from '../base/files.js';
import { complaintsOf, withoutEchoes, type Complaint } from './complaints.js';
import { applySetting, inherit, isPlain, redirectData, relativePath, type Plain } from './override.js';
import { withMethodOfFewBits } from './few-bits.js';
import { builtIn, withPlugin, type Plugins } from './plugins.js';
import { mapPaths } from './paths.js';
import { recipeJsonSchema, type JsonSchema } from './json-schema.js';
import { recipeSpec, recipeSpecOf, type Recipe, type RecipeInput } from './schema.js';
import { expandSweep } from './sweep.js';
import { gather, MAX_COMPLAINTS, parseRecipeText, type Path, type RecipeText } from './text.js';
import { cacheFolder } from './cache-folder.js';
import { absent, filterComplaints, misfitOf, passComplaints, studentComplaints } from './checks.js';

export interface ResolvedRecipe {
  readonly recipe: Recipe;
  readonly file?: string;
  readonly name: string;
  /** For one recipe of a sweep: its name, what sets this one apart, and whether that is the runtime. */
  readonly sweep?: { readonly name: string; readonly label: string; readonly byTarget?: true };
  /** Where the recipe's relative paths start. */
  readonly baseDir: string;
  /** Every key with its value, as YAML that runs again from a file in `baseDir`. */
  readonly yaml: string;
  /** What it may name: what is built in, and what its plug-ins add. */
  readonly plugins: Plugins;
  /** What was written, by the recipe or by flags, before defaults. */
  readonly written?: Readonly<Record<string, unknown>>;
  /** An error at the place of a key: line and column, or the flag that set it. */
  readonly complain?: (code: ErrorCode, message: string, at: Path, hint?: string) => QuantError;
}

export interface RecipeOverrides {
  /** `path.to.key=value` each; read as if the recipe said so, so paths in it are relative to the recipe. */
  readonly set?: readonly string[];
  /** These three replace what the recipe says; relative to `cwd`. */
  readonly model?: string;
  readonly calibrationData?: string;
  readonly evaluationData?: string;
  readonly cwd?: string;
}

/**
 * The recipe in `file`, changed by the overrides and checked. Throws RECIPE_MISSING, RECIPE_FORMAT, RECIPE_INVALID,
 * RECIPE_UNKNOWN_KEY or RECIPE_UNKNOWN_NAME with line, column and excerpt, all mistakes at once; and, where data are
 * redirected to a kind that cannot be told, DATA_MISSING or DATA_FORMAT. A sweep is RECIPE_INVALID here: see {@link
 * loadRecipes}.
 */
export async function loadRecipe(file: string, overrides: RecipeOverrides = {}): Promise<ResolvedRecipe> {
  return single(await loadRecipes(file, overrides));
}

/** The same, for a recipe that may be a sweep: a list where it takes one value makes a recipe of each. */
export async function loadRecipes(file: string, overrides: RecipeOverrides = {}): Promise<ResolvedRecipe[]> {
  const cwd = overrides.cwd ?? process.cwd();
  if (/\.(onnx|ort)$/i.test(file))
    fail(
      'USAGE',
      `'${file}' is a model, and a recipe is wanted: a .yaml file that says what to do with it`,
      { file },
      `quantize init ${file} --data FOLDER --out recipe.yaml writes a first recipe; quantize --recipe R ` +
        `--model ${file} takes one of another model`,
    );
  const absolute = path.resolve(cwd, file);
  const source = parseRecipeText(readBytes(absolute, file), file);
  return resolve(
    source.value,
    {
      source,
      file: absolute,
      baseDir: path.dirname(absolute),
      cwd,
      name: path.basename(file).replace(/\.ya?ml$/i, ''),
    },
    overrides,
  );
}

/** The same for a recipe given as an object; its paths are relative to `baseDir` (default: the working directory). */
export async function resolveRecipe(
  input: RecipeInput,
  overrides: RecipeOverrides & { readonly baseDir?: string; readonly name?: string } = {},
): Promise<ResolvedRecipe> {
  const cwd = overrides.cwd ?? process.cwd();
  if (!isPlain(input))
    fail('RECIPE_FORMAT', 'a recipe is an object of keys and values', {}, 'start with { version: 1, model }');
  return single(
    await resolve(
      structuredClone(input),
      { baseDir: path.resolve(cwd, overrides.baseDir ?? '.'), cwd, name: overrides.name ?? 'recipe' },
      overrides,
    ),
  );
}

/**
 * A recipe with some of its sections replaced (paths in them are relative to its own folder), to run from another
 * folder: it reads the same files and keeps statistics where the first does. `yaml` of the result gives the same recipe
 * from a file in `baseDir`.
 */
export async function derive(
  { recipe, baseDir, name }: ResolvedRecipe,
  sections: Partial<RecipeInput>,
  to: { readonly baseDir: string; readonly name?: string },
): Promise<ResolvedRecipe> {
  const here = path.resolve(to.baseDir);
  const { cache } = recipe.calibration;
  const folder = cacheFolder(cache, baseDir);
  const kept = path.resolve(baseDir) === here || folder === undefined ? cache : relativePath(here, folder);
  const moved = mapPaths(
    {
      ...recipe,
      ...(sections as Partial<Recipe>) /* written shorter, checked below */,
      calibration: {
        ...recipe.calibration,
        ...(sections.calibration as Partial<Recipe['calibration']>) /* checked with the rest */,
        cache: kept,
      },
    },
    (p) => relativePath(here, path.resolve(baseDir, p)),
  );
  return resolveRecipe({ ...moved, ...(to.name === undefined ? {} : { name: to.name }) } as RecipeInput, {
    baseDir: here,
    name: to.name ?? name,
  }); // checked again by the schema
}

function single(all: readonly ResolvedRecipe[]): ResolvedRecipe {
  if (all.length > 1)
    fail(
      'RECIPE_INVALID',
      `the recipe is a sweep of ${all.length} recipes, where one is needed`,
      all[0]!.file === undefined ? {} : { file: all[0]!.file },
      'give one value instead of each list, or use `quantize compare`',
    ); // there are several
  return all[0]!; // a recipe stands for at least one
}

interface Context {
  readonly source?: RecipeText;
  readonly file?: string;
  readonly baseDir: string;
  readonly cwd: string;
  readonly name: string;
}
/** Where a part of the recipe came from, if not from its file. */
interface Origin {
  readonly path: Path;
  readonly flag: string;
}

async function resolve(written: Plain, context: Context, overrides: RecipeOverrides): Promise<ResolvedRecipe[]> {
  const { origins, plugins, missing } = await override(written, context, overrides);
  const spec = plugins === builtIn ? recipeSpec : recipeSpecOf(plugins);
  const schema = plugins === builtIn ? undefined : recipeJsonSchema(spec);
  // names of theirs would be called unknown
  if (missing.length) throw gather(missing.map((c) => place(c, origins, context)));
  const refuse = (message: string, at: Path, hint: string): never => {
    throw place({ code: 'RECIPE_INVALID', message, path: at, hint, atKey: false }, origins, context);
  };
  return expandSweep(written, refuse, schema).map(({ value, label, byTarget }) => {
    const parsed = spec.safeParse(withMethodOfFewBits(value));
    const wrong = complaintsOf(parsed.success ? [] : parsed.error.issues, value, schema);
    const complaints = withoutEchoes([
      ...wrong,
      ...filterComplaints(value),
      ...passComplaints(value, plugins),
      ...studentComplaints(value),
      ...absent(value),
    ]);
    if (complaints.length) throw gather(complaints.slice(0, MAX_COMPLAINTS).map((c) => place(c, origins, context)));
    const recipe = withTrainingData(parsed.data!); // without complaints, parsing succeeded
    const complain = (code: ErrorCode, message: string, at: Path, hint?: string): QuantError =>
      place({ code, message, path: at, hint, atKey: false }, origins, context);
    const odd = recipe.gate && misfitOf(recipe.gate, recipe.evaluation.metrics);
    if (odd)
      throw complain(
        odd.key === 'metric' ? 'RECIPE_UNKNOWN_NAME' : 'RECIPE_INVALID',
        odd.message,
        ['gate', odd.rule, odd.key],
        odd.hint,
      );
    const name = recipe.name ?? context.name;
    return {
      recipe,
      name: label === undefined ? name : `${name} ${label}`,
      baseDir: context.baseDir,
      plugins,
      yaml: printRecipe(recipe, context),
      written: value,
      complain,
      ...(label === undefined ? {} : { sweep: { name, label, ...(byTarget ? { byTarget } : {}) } }),
      ...(context.file === undefined ? {} : { file: context.file }),
    };
  });
}

interface Overridden {
  readonly origins: Origin[];
  readonly plugins: Plugins;
  readonly missing: readonly Complaint[];
}
/** Changes the written recipe; loads its plug-ins on the way, for settings may be of theirs. */
async function override(
  value: Plain,
  { baseDir, cwd }: Context,
  { set = [], model, calibrationData, evaluationData }: RecipeOverrides,
): Promise<Overridden> {
  const origins: Origin[] = [];
  if (model !== undefined) {
    value.model = relativePath(baseDir, path.resolve(cwd, model));
    origins.push({ path: ['model'], flag: `--model ${model}` });
  }
  const redirect = async (
    section: 'calibration' | 'evaluation',
    file: string,
    like: Plain | undefined,
  ): Promise<void> => {
    const holder = isPlain(value[section]) ? value[section] : {};
    value[section] = { ...holder, data: await redirectData(like, file, baseDir, cwd) };
    origins.push({ path: [section, 'data'], flag: `--${section}-data ${file}` });
  };
  if (calibrationData !== undefined) await redirect('calibration', calibrationData, dataOf(value, 'calibration'));
  if (evaluationData !== undefined) await redirect('evaluation', evaluationData, dataOf(value, 'evaluation'));
  const apply = (text: string, schema?: JsonSchema): void => {
    origins.push({ path: applySetting(value, text, schema), flag: `--set ${text}` });
  };
  const ofPlugins = (text: string): boolean => /^\s*plugins\b/.test(text);
  for (const text of set) if (ofPlugins(text)) apply(text);
  const loaded = await pluginsOf(value, baseDir);
  const schema = set.length && loaded.plugins !== builtIn ? recipeJsonSchema(recipeSpecOf(loaded.plugins)) : undefined;
  for (const text of set) if (!ofPlugins(text)) apply(text, schema);
  inheritReading(value, 'train', ['calibration']);
  inheritReading(value, 'evaluation', ['calibration', 'train']);
  return { origins, ...loaded };
}

/** The data of a section are read as those of the first other section that has some. */
function inheritReading(
  value: Plain,
  section: 'train' | 'evaluation',
  from: readonly ('calibration' | 'train')[],
): void {
  const data = dataOf(value, section);
  const other = from.map((s) => dataOf(value, s)).find((d) => d !== undefined);
  // dataOf found data in it
  if (data && other) value[section] = { ...(value[section] as Plain), data: inherit(data, other) };
}

/** The plug-ins of a written recipe, and what is wrong with those that do not load. */
async function pluginsOf(value: Plain, baseDir: string): Promise<Omit<Overridden, 'origins'>> {
  const list: unknown[] = Array.isArray(value.plugins) ? value.plugins : [];
  let plugins = builtIn;
  const missing: Complaint[] = [];
  for (const [i, file] of list.entries()) {
    if (typeof file !== 'string' || file === '') continue; // the schema complains
    try {
      plugins = await withPlugin(plugins, path.resolve(baseDir, file));
    } catch (error) {
      if (!(error instanceof QuantError)) throw error;
      const { message, hint } = error;
      missing.push({ code: 'RECIPE_PLUGIN', message, hint, path: ['plugins', i], atKey: false });
    }
  }
  return { plugins, missing: missing.slice(0, MAX_COMPLAINTS) };
}

function dataOf(value: Plain, section: 'calibration' | 'train' | 'evaluation'): Plain | undefined {
  const holder = value[section];
  return isPlain(holder) && isPlain(holder.data) ? holder.data : undefined;
}

function place(c: Complaint, origins: readonly Origin[], { source, file }: Context): QuantError {
  const origin = origins.findLast(
    (o) => o.path.length <= c.path.length && o.path.every((p, i) => String(p) === String(c.path[i])),
  );
  if (origin) return new QuantError(c.code, c.message, { where: { file: origin.flag }, hint: c.hint });
  return (
    source?.error(c.code, c.message, c.path, c.hint, c.atKey) ??
    new QuantError(c.code, c.message, { where: file === undefined ? {} : { file }, hint: c.hint })
  );
}

/** Every key, with paths relative to the recipe's folder, so that the text can be shared. */
function printRecipe(recipe: Recipe, { baseDir, file }: Context): string {
  const plain = mapPaths(recipe, (p) => (path.isAbsolute(p) ? relativePath(baseDir, p) : p));
  return (
    `# Resolved from ${file === undefined ? 'an object' : path.basename(file).replace(/[^\x20-\x7e]/g, '?')}; ` +
    `relative paths start in the folder of that recipe.\n` +
    `${stringify(plain, { lineWidth: 0, aliasDuplicateObjects: false })}`
  );
}

function readBytes(absolute: string, file: string): Uint8Array {
  const missing = (code: ErrorCode, error: unknown): never =>
    fail(
      code,
      `cannot read recipe '${file}': ${reason(error)}`,
      { file },
      'give the path of a .yaml file; `quantize init MODEL` writes a first recipe',
      error,
    );
  try {
    const stat = fs.statSync(absolute);
    const { size } = stat;
    // A device would be read for ever; a pipe ends.
    if (!stat.isFile() && !stat.isFIFO() && !stat.isDirectory())
      return fail('RECIPE_MISSING', `cannot read recipe '${file}': it is not a regular file`, { file });
    if (size > 64e6)
      return fail(
        'RECIPE_FORMAT',
        `the recipe has ${size} bytes; at most 1000000 are read`,
        { file },
        'is this the recipe, and not the model?',
      );
    return fs.readFileSync(absolute);
  } catch (error) {
    if (error instanceof QuantError) throw error;
    return missing('RECIPE_MISSING', error);
  }
}

/** Samples that a recipe learns from calibrate too, where it names no others. */
function withTrainingData(recipe: Recipe): Recipe {
  const data = recipe.train?.data;
  return data && !recipe.calibration.data ? { ...recipe, calibration: { ...recipe.calibration, data } } : recipe;
}
