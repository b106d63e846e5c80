/** The demo with a budget, and little of all else. */
import path from 'node:path';
import { loadRecipe, type ResolvedRecipe } from '../../../src/recipe/load.js';

const recipeFile = path.join(import.meta.dirname, '..', '..', '..', 'recipes', 'int8-minmax.yaml');
const set = [
  'calibration.cache=false',
  'calibration.samples=32',
  'evaluation.samples=64',
  'evaluation.latency=false',
  'evaluation.layers=false',
  'evaluation.profile=false',
];
export const withBudget = (budget: string): Promise<ResolvedRecipe> =>
  loadRecipe(recipeFile, { set: [...set, `quantize.budget=${budget}`] });
