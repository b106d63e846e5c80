/** Recipes that run together: stages that they share, findings, and what happens where one of them fails. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { QuantError, type Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import type { Stage } from '../record/index.js';
import { createStages } from './stage-clock.js';
import type { Variant } from './variant/types.js';

export interface TogetherOptions {
  readonly onEvent?: OnEvent;
  readonly signal?: AbortSignal;
  /** Whether one that fails is left out and told of, instead of stopping all. */
  readonly keepGoing?: boolean;
}
type Step<T> = () => T | Promise<T>;

export class Together {
  /** What is found of all of them, for their records. */
  readonly diagnostics: Diagnostic[] = [];
  readonly listen: { readonly onEvent: OnEvent; readonly signal?: AbortSignal };
  readonly stage: <T>(name: string, run: () => Promise<readonly [T, string]> | readonly [T, string]) => Promise<T>;
  readonly stages: () => Stage[];
  readonly #o: TogetherOptions;
  readonly #count: number;
  readonly #failed = new Map<number, QuantError>();

  /** `stages` are the names of all that there will be, in their order; `count` is how many run together. */
  constructor(o: TogetherOptions, stages: readonly string[], count: number) {
    this.#o = o;
    this.#count = count;
    // Whatever a stage finds belongs into the records, whoever listens.
    const onEvent: OnEvent = (e) => {
      if (e.type === 'diagnostic') this.diagnostics.push(e.diagnostic);
      o.onEvent?.(e);
    };
    this.listen = { onEvent, ...(o.signal ? { signal: o.signal } : {}) };
    ({ stage: this.stage, stages: this.stages } = createStages(onEvent, o.signal, stages));
  }

  /** A finding of all of them. */
  readonly report = (diagnostic: Diagnostic): void => this.listen.onEvent({ type: 'diagnostic', diagnostic });
  /** A finding of one of them, which only its own record holds. */
  readonly tell = (diagnostic: Diagnostic): void => this.#o.onEvent?.({ type: 'diagnostic', diagnostic });

  /** One line about all: that of the only one, or how many. */
  about(lines: readonly string[]): string {
    return this.#count === 1 ? (lines[0] ?? '') : `${lines.length} of ${this.#count} recipes`;
  }
  errorOf({ index }: Variant): QuantError | undefined {
    return this.#failed.get(index);
  }
  /** Those that have not failed. */
  alive<V extends Variant>(list: readonly V[]): V[] {
    return list.filter((v) => !this.#failed.has(v.index));
  }
  /** A step of one of them; undefined where it failed and the others go on. */
  readonly attempt = async <T>(v: Variant, step: Step<T>): Promise<T | undefined> => {
    await nextTurn(); // much of a step blocks the thread: signals and timers get their turn here
    this.#o.signal?.throwIfAborted();
    try {
      return await step();
    } catch (error) {
      if (!this.#o.keepGoing || !(error instanceof QuantError)) throw error;
      this.#failed.set(v.index, error);
      v.report({ severity: 'error', code: error.code, message: `${v.recipe.name}: ${error.message}` });
      return undefined;
    }
  };
  /** A step of each that has not failed; what it gives of those that still have not. */
  async each<V extends Variant, T>(list: readonly V[], step: (v: V) => T | Promise<T>): Promise<T[]> {
    const made: T[] = [];
    for (const v of this.alive(list)) {
      const one = await this.attempt(v, async () => ({ of: await step(v) }));
      if (one) made.push(one.of);
    }
    return made;
  }
  /** What only explains a result must not cost it: a failure is told, and the run goes on. */
  async lookInto<T>(v: Variant, step: Step<T>): Promise<T | undefined> {
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof QuantError) || this.#o.signal?.aborted) throw error;
      v.report({
        severity: 'warning',
        code: 'ANALYSIS_FAILED',
        message: `an analysis was left out: ${error.message}`,
        ...(error.hint === undefined ? {} : { hint: error.hint }),
      });
      return undefined;
    }
  }
}
