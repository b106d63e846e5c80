/** Which input a seed and a number stand for. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { createRng } from '../../src/base/rng.js';
import { mutateBytes, mutateText, pick } from './bytes.js';
import { DATA_KINDS, dataCase } from './data.js';
import { mutateModel, seedModels } from './models.js';
import { runData, runModel, runRecipeText } from './targets.js';

export const KINDS = ['model', 'recipe', 'data'] as const;
export type Kind = (typeof KINDS)[number];
export interface Input {
  readonly kind: Kind;
  /** Files to keep where it is a finding. */
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Bytes, for the limit of memory. */
  readonly size: number;
  run(folder: string): Promise<void>;
}
export type MakeInput = (seed: number, index: number) => Promise<Input>;

const WORDS = [
  '&a',
  '*a',
  '<<: *a',
  '!!binary',
  '!x',
  '|',
  '>',
  '- ',
  '[',
  ']',
  '{',
  '}',
  '"',
  "'",
  '#',
  '%YAML 1.1',
  '---',
  '...',
  '\t',
  '\u0000',
  '\u202e',
  '🚀',
  '~',
  'null',
  '.nan',
  '.inf',
  '1e400',
  '0x10',
  '99999999999999999999',
  're:(a+)+$',
  're:[',
  '*a*a*a*',
  'kl',
  'qdq',
  'a: 1',
  '? x',
  '__proto__: 1',
  'constructor',
];

/** The maker of inputs; reads the seeds below `root` once. */
export function inputMaker(root: string): MakeInput {
  const models = seedModels(root);
  const recipes = recipesBelow(path.join(root, 'recipes'));
  return async (seed, index) => {
    const rng = createRng(seed, `fuzz-${index}`);
    const draw = rng.int(20);
    if (draw < 13) {
      const bytes = mutateModel(models, rng);
      return { kind: 'model', files: { 'model.onnx': bytes }, size: bytes.length, run: () => runModel(bytes) };
    }
    if (draw < 16) {
      const text = new TextEncoder().encode(mutateText(pick(rng, recipes), rng, WORDS));
      const bytes = rng.int(6) ? text : mutateBytes(text, rng);
      return {
        kind: 'recipe',
        files: { 'recipe.yaml': bytes },
        size: bytes.length,
        run: (folder) => runRecipeText(bytes, folder),
      };
    }
    const data = await dataCase(pick(rng, DATA_KINDS), rng);
    const size = Object.values(data.files).reduce((n, b) => n + b.length, 0);
    return { kind: 'data', files: data.files, size, run: (folder) => runData(data, folder) };
  };
}

function recipesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((e) => {
      if (e.isDirectory()) return e.name.startsWith('.') ? [] : recipesBelow(path.join(folder, e.name));
      return e.name.endsWith('.yaml') ? [readFileSync(path.join(folder, e.name), 'utf8')] : [];
    });
}
