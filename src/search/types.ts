/** What a search is asked for, and what it gives. */
import type { Margin } from '../gate/limits.js';
import type { createStages } from '../pipeline/stage-clock.js';
import type { RunListener } from '../pipeline/run.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import type { RunRecord, SearchFacts } from '../record/index.js';
import type { Objective } from './candidates.js';
import type { Forecast } from './forecast.js';

export interface AutoOptions extends RunListener {
  /** Gives model, data, metric, target and what must stay float. */
  readonly base: ResolvedRecipe;
  /** Whether how `base` quantizes is a candidate too. Default: true. */
  readonly tryBase?: boolean;
  readonly outDir: string;
  readonly maxAccuracyDrop: Margin;
  readonly objective: Objective;
  readonly timeBudgetMs: number;
  /** Names of compressions that may make the model smaller first. Default: none. */
  readonly allow?: readonly string[];
  /** Takes only a drop whose whole interval is within the limit. */
  readonly proven?: boolean;
}
export interface AutoResult {
  readonly record: RunRecord;
  readonly outDir: string;
  readonly search: SearchFacts;
}

export type Stage = ReturnType<typeof createStages>['stage'];

export interface SearchSetting {
  readonly share: number;
  /** Samples of search and held-out part together. */
  readonly samples: number;
  readonly folder: string;
  readonly stage: Stage;
  readonly forecast: Forecast;
}
