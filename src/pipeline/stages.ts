import type { OnEvent } from '../base/events.js';
import type { Stage } from '../record/index.js';

/** Times and announces the steps of a run. A step returns its result and one line about it. */
export function createStages(onEvent: OnEvent | undefined, signal: AbortSignal | undefined): {
  stage: <T>(name: string, run: () => Promise<readonly [T, string]> | readonly [T, string]) => Promise<T>;
  stages: () => Stage[];
} {
  const done: Stage[] = [];
  return {
    stages: () => [...done],
    async stage(name, run) {
      signal?.throwIfAborted();
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
