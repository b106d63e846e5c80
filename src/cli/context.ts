import type { Terminal } from './terminal.js';

/** What every command is given. */
export interface CommandContext {
  readonly terminal: Terminal;
  /** Aborted by Ctrl+C. */
  readonly signal: AbortSignal;
}
/** Does the work and gives the exit code. */
export type Job = (context: CommandContext) => Promise<number>;
