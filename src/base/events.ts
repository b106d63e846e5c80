import type { Diagnostic } from './errors.js';

/** What a run tells while it runs. Only cli/ draws; a library user may listen or not. */
export type RunEvent =
  | { readonly type: 'start'; readonly title: string }
  | { readonly type: 'stage-start'; readonly stage: string; readonly total?: number; readonly unit?: string }
  | {
      readonly type: 'progress';
      readonly stage: string;
      readonly done: number;
      readonly total: number | undefined;
      readonly note?: string;
      /** Where the sender knows better than the pace of `done` tells. */ readonly secondsLeft?: number | undefined;
    }
  | { readonly type: 'stage-end'; readonly stage: string; readonly ms: number; readonly summary: string }
  | { readonly type: 'diagnostic'; readonly diagnostic: Diagnostic };
export type OnEvent = (e: RunEvent) => void;
