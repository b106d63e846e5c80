/** The command line. Only commander and base/ are loaded up front: everything heavy waits for its command. */
import { writeSync } from 'node:fs';
import { CommanderError } from 'commander';
import { asSystemError } from '../base/environment-errors.js';
import { exitCodeOf, QuantError } from '../base/errors.js';
import { reason } from '../base/files.js';
import { renderError } from './errors.js';
import { complaintAbout } from './command-line.js';
import type { Job } from './context.js';
import { createProgram } from './program.js';
import { openTerminal, type Terminal } from './terminal.js';

/** Runs a command line (without node and script) and gives the exit code. Prints; never throws. */
export async function main(argv: readonly string[]): Promise<number> {
  const terminal = openTerminal();
  const interrupt = new AbortController();
  const debug = argv.includes('--debug');
  const show = (error: unknown): void => terminal.say(renderError(error, { colour: terminal.colour, debug }));
  let signalCode = 130;
  const onSignal = (signal: NodeJS.Signals): void => {
    signalCode = signal === 'SIGTERM' ? 143 : 130;
    if (interrupt.signal.aborted) process.exit(signalCode); // asked twice: do not wait for the clean-up
    terminal.say('stopping; nothing half-written is left (again to stop at once)');
    interrupt.abort();
  };
  const onStray = (thrown: unknown): void => {
    const error = asSystemError(thrown) ?? thrown;
    show(error);
    process.exit(exitCodeOf(error));
  };
  process
    .on('SIGINT', onSignal)
    .on('SIGTERM', onSignal)
    .on('uncaughtException', onStray)
    .on('unhandledRejection', onStray);
  const run = async (): Promise<number> => {
    try {
      const job = parse(argv, terminal);
      return job ? await job({ terminal, signal: interrupt.signal }) : 0;
    } catch (thrown) {
      if (interrupt.signal.aborted) return signalCode;
      const error = asSystemError(thrown) ?? thrown;
      show(error);
      if (argv.includes('--json')) terminal.data(`${JSON.stringify(failure(error), null, 1)}\n`);
      return exitCodeOf(error);
    }
  };
  try {
    const code = await run();
    const lost = await terminal.close();
    if (!lost) return code;
    // What was printed is cut off: a program that reads it must not take it for whole.
    const error = new QuantError('OUTPUT_WRITE', `the output could not be printed: ${reason(lost)}`, { cause: lost });
    try {
      writeSync(2, `${renderError(error, { colour: false, debug })}\n`);
    } catch {
      /* stderr is what failed */
    }
    return code > 1 && code !== 5 ? code : exitCodeOf(error);
  } finally {
    process
      .off('SIGINT', onSignal)
      .off('SIGTERM', onSignal)
      .off('uncaughtException', onStray)
      .off('unhandledRejection', onStray);
  }
}

/** The job that a command line asks for; undefined where help or the version was printed. Throws USAGE. */
function parse(argv: readonly string[], terminal: Terminal): Job | undefined {
  let job: Job | undefined;
  const program = createProgram(terminal, (chosen) => {
    job = chosen;
  });
  try {
    program.parse(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    throw complaintAbout(error, program, argv);
  }
  return job;
}

function failure(error: unknown): unknown {
  if (!(error instanceof QuantError))
    return {
      outcome: 'failed',
      error: { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error) },
    };
  const plain = (e: QuantError): unknown => ({
    code: e.code,
    message: e.message,
    where: e.where,
    ...(e.hint === undefined ? {} : { hint: e.hint }),
  });
  return { outcome: 'failed', error: plain(error), ...(error.more.length ? { more: error.more.map(plain) } : {}) };
}
