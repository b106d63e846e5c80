/**
 * `quantize bench`: latency, throughput, load time and peak memory of models as they are; the others against the first.
 */
import path from 'node:path';
import { fail, type Diagnostic } from '../../base/errors.js';
import { bytesText, oneLine } from '../../base/text.js';
import { loadModel } from '../../onnx/files.js';
import { loadRecipe } from '../../recipe/load.js';
import type { CommandContext } from '../context.js';
import { openProgress } from '../progress.js';
import { shapesOf } from '../shapes.js';
import { table } from '../layout.js';

export interface BenchFlags {
  readonly runs: string;
  readonly warmup: string;
  readonly threads: string;
  readonly batch: string;
  readonly inputShape?: readonly string[];
  readonly recipe?: string;
  readonly json?: true;
  readonly quiet?: true;
}

/** Throws QuantError; gives exit code 0. */
export async function bench(
  files: readonly string[],
  flags: BenchFlags,
  { terminal, signal }: CommandContext,
): Promise<number> {
  const whole = (key: 'runs' | 'warmup' | 'threads' | 'batch', least: number): number => {
    const n = Number(flags[key]);
    return Number.isInteger(n) && n >= least && n <= 1e7
      ? n
      : fail('USAGE', `--${key} is "${flags[key]}"; it must be a whole number from ${least} on`);
  };
  const settings = {
    runs: whole('runs', 1),
    warmup: whole('warmup', 0),
    threads: whole('threads', 1),
    batch: whole('batch', 1),
  };
  const [{ benchFiles }, { environment }] = await Promise.all([
    import('../../standalone/standalone.js'),
    import('../../runtime/environment.js'),
  ]);
  const progress = flags.quiet ? undefined : await openProgress(terminal);
  try {
    const shapes = flags.inputShape?.length ? shapesOf(flags.inputShape, namesOf(files[0])) : undefined;
    if (shapes && flags.recipe !== undefined)
      fail('USAGE', '--input-shape is for random inputs, and --recipe gives real ones', {}, 'give one of both');
    const recipe =
      flags.recipe === undefined
        ? undefined
        : await loadRecipe(flags.recipe, files[0] === undefined ? {} : { model: files[0] });
    const warnings: Diagnostic[] = [];
    const report = (diagnostic: Diagnostic): void => {
      warnings.push(diagnostic);
      progress?.onEvent({ type: 'diagnostic', diagnostic });
    };
    const { batch, runs, inputShapes, models } = await benchFiles({
      files,
      ...settings,
      shapes,
      recipe,
      signal,
      onEvent: progress?.onEvent,
      report,
    });
    progress?.close();
    if (flags.json) {
      terminal.data(
        `${JSON.stringify(
          {
            ...settings,
            runs,
            batch,
            inputShapes,
            environment: environment(),
            models,
            ...(warnings.length ? { diagnostics: warnings } : {}),
          },
          null,
          1,
        )}\n`,
      );
      return 0;
    }
    const time = (t: number, i: readonly [number, number] | undefined): string =>
      `${t.toFixed(3)}${i ? ` (${i[0].toFixed(3)}–${i[1].toFixed(3)})` : ''}`;
    const rows = models.map((m) => [
      path.basename(m.file),
      time(m.ms.p50, m.ms.p50Interval),
      time(m.ms.p90, m.ms.p90Interval),
      time(m.ms.p99, m.ms.p99Interval),
      m.samplesPerSecond.toFixed(1),
      m.speedup === undefined
        ? ''
        : `${m.speedup.toFixed(2)} ` +
          `×${m.speedupInterval ? ` (${m.speedupInterval.map((v) => v.toFixed(2)).join('–')})` : ''}`,
      m.process.loadMs.toFixed(0),
      m.process.firstRunMs.toFixed(1),
      bytesText(m.process.peakBytes),
      bytesText(m.bytes),
    ]);
    terminal.data(
      `${table(
        [
          [
            'model',
            'p50 ms (95 % CI)',
            'p90',
            'p99',
            'samples/s',
            'speed-up',
            'load ms',
            'first run ms',
            'peak memory',
            'file',
          ],
          ...rows,
        ],
        [1, 2, 3, 4, 5, 6, 7, 8, 9],
      ).join('\n')}\n` +
        `${runs} interleaved runs, ${settings.threads} thread${settings.threads === 1 ? '' : 's'}, batch ` +
        `${batch}: ${shapesText(inputShapes)}\n`,
    );
    return 0;
  } finally {
    progress?.close();
  }
}

/** Inputs that a caller gives. */
const namesOf = (file: string | undefined): string[] =>
  file === undefined
    ? []
    : loadModel(file)
        .graph.inputs.filter((v) => !v.data)
        .map((v) => v.name);
const shapesText = (shapes: Readonly<Record<string, readonly number[]>>): string =>
  Object.entries(shapes)
    .map(([name, dims]) => `${oneLine(name)} [${dims.join(', ')}]`)
    .join(', ');
