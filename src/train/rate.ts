import { checkedOptions, partOf } from '../autodiff/options.js';
import { schedules } from './schedules/index.js';

export interface RateOptions {
  /** The highest learning rate. */
  readonly rate: number;
  /** Name of a schedule: constant, cosine, one-cycle or step. Default: constant. */
  readonly schedule?: string;
  /** Options of the schedule by key; see its schema. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** Share of the steps in which the rate rises in a straight line, before the schedule begins. Default: 0. */
  readonly warmUp?: number;
}

/**
 * The learning rate of step 1 to `steps`. The first step of a rise already has a rate above 0, the one after it has the
 * whole. Throws RECIPE_UNKNOWN_NAME for an unknown schedule, RECIPE_INVALID for its options.
 */
export function rateOver(steps: number, { rate, schedule = 'constant', options, warmUp = 0 }: RateOptions) {
  const found = partOf(schedules, schedule, 'schedule');
  const settings = checkedOptions(found.options, options, `schedule '${found.name}'`);
  const rising = Math.round(warmUp * steps);
  const rest = Math.max(1, steps - rising); // the last step still has a rate
  return (step: number): number =>
    step <= rising ? (rate * step) / (rising + 1) : rate * found.factor((step - 1 - rising) / rest, settings);
}
