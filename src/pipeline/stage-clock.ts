import { fail } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import type { Stage } from '../record/index.js';

/**
 * Times and announces the steps of a run. A step returns its result and one line about it. Where the stages are given,
 * another one, or one out of their order, is a bug.
 */
export function createStages(
  onEvent: OnEvent | undefined,
  signal: AbortSignal | undefined,
  listed?: readonly string[],
): {
  stage: <T>(name: string, run: () => Promise<readonly [T, string]> | readonly [T, string]) => Promise<T>;
  stages: () => Stage[];
} {
  const done: Stage[] = [];
  let at = 0;
  return {
    stages: () => [...done],
    async stage(name, run) {
      signal?.throwIfAborted();
      if (listed) {
        const next = listed.indexOf(name, at);
        if (next < 0) fail('INTERNAL', `bug in quantbench: stage ${name} is not listed, or is out of order`);
        at = next + 1;
      }
      onEvent?.({ type: 'stage-start', stage: name });
      const start = performance.now();
      const [result, summary] = await run();
      const ms = Math.round((performance.now() - start) * 10) / 10;
      done.push({ name, ms, summary });
      onEvent?.({ type: 'stage-end', stage: name, ms, summary });
      return result;
    },
  };
}
