/** What a recipe does, stage by stage, and why: what it says told apart from what are defaults. */
import { isPlain } from '../recipe/override.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import { asksOf, namesOf, STAGES } from './stages.js';
import { isForRuntime } from './target-of.js';
import type { Setting, Subject, Told } from './stage-words.js';

export interface ExplainedStage extends Told {
  readonly name: string;
}

/** The stages of a run in their order, and the gate that judges it. Pure. */
export function explainRecipe(resolved: ResolvedRecipe): ExplainedStage[] {
  const { recipe, plugins, written = {} } = resolved;
  const settings = [
    ...settingsOf(recipe, written),
    ...(['compress', 'adjust'] as const).flatMap((list) =>
      recipe[list].flatMap(({ name: _name, ...options }, i) =>
        Object.entries(options).map(([key, value]) => ({
          key: `${list}[${i}].${key}`,
          value,
          said: saidIn(written, [list, i, key]),
        })),
      ),
    ),
  ];
  const subject: Subject = { recipe, plugins, settings, change: 0 };
  const asks = asksOf(recipe, true, { runtime: isForRuntime(resolved), layout: true });
  return [
    ...STAGES.filter((s) => s.when(asks)).flatMap((s) =>
      namesOf(s, asks).map((name, change) => ({ name, ...s.does({ ...subject, change }) })),
    ),
    ...(recipe.gate
      ? [
          {
            name: 'gate',
            does: 'Judges the result by its limits; the exit code tells.',
            why: '`gate` is set',
            settings: settings.filter(({ key }) => key === 'gate' || key.startsWith('gate.')),
          },
        ]
      : []),
  ];
}

/** Every key that holds a value, in the order of the schema. Lists and plug-ins count as one value. */
function settingsOf(recipe: object, written: Readonly<Record<string, unknown>>): Setting[] {
  const visit = (value: unknown, path: readonly string[]): Setting[] =>
    isPlain(value) && !('name' in value) && path.at(-1) !== 'data'
      ? Object.entries(value).flatMap(([key, v]) => visit(v, [...path, key]))
      : [{ key: path.join('.'), value, said: saidIn(written, path) }];
  return visit(JSON.parse(JSON.stringify(recipe)), []); // through JSON, which drops what is undefined
}

function saidIn(written: unknown, path: readonly (string | number)[]): boolean {
  let at = written;
  for (const part of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return false;
    at = (at as Record<string | number, unknown>)[part]; // any object may be indexed
  }
  return true;
}
