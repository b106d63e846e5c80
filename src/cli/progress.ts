/** What a run tells, drawn on stderr: a bar with the time left on a terminal, one line per stage elsewhere. */
import type { SingleBar } from 'cli-progress';
import type { Diagnostic } from '../base/errors.js';
import { Alike, moreText, placeOfFinding } from '../base/findings.js';
import type { OnEvent, RunEvent } from '../base/events.js';
import { oneLine, secondsText } from '../base/text.js';
import { paint, type Terminal } from './terminal.js';

const NAME_COLUMNS = 11;
/** Bars are redrawn below this width only as text. */
const NARROW = 60;
const SHOWN_DIAGNOSTICS = 20;
/** Findings of one kind that are told one by one; of the others, their number is told. */
const SHOWN_ALIKE = 2;

export interface Progress {
  readonly onEvent: OnEvent;
  close(): void;
}

/** The listener for a run. `close` takes an unfinished bar away and shows the cursor again; call it in any case. */
export async function openProgress(terminal: Terminal): Promise<Progress> {
  const cli = terminal.animated ? await import('cli-progress') : undefined;
  const p = paint(terminal);
  let bar: SingleBar | undefined;
  let diagnostics = 0;
  const alike = new Alike(SHOWN_ALIKE);
  const stop = (): void => {
    bar?.stop();
    bar = undefined;
  };
  const line = (text: string, hang?: number): void => {
    stop();
    terminal.say(text, hang);
  };
  const tell = (d: Diagnostic): void => {
    if (!alike.add(d)) return;
    diagnostics++;
    if (diagnostics <= SHOWN_DIAGNOSTICS) line(diagnosticLine(d, p), 10);
    else if (diagnostics === SHOWN_DIAGNOSTICS + 1) line('  further warnings are in run.json');
  };
  /** What was kept back of findings that are alike. */
  const sum = (): void => {
    for (const kind of alike.kinds()) if (kind.more) line(`  ${headOf(kind.first, p)}  ${oneLine(moreText(kind))}`, 10);
    alike.clear();
  };
  const name = (stage: string): string => oneLine(stage).padEnd(NAME_COLUMNS);

  const draw = (e: Extract<RunEvent, { type: 'progress' }>): void => {
    if (!cli) return;
    const total = e.total ?? 0;
    if (!bar) {
      const { Bar, Presets } = cli.default;
      const drawn = terminal.columns < NARROW ? '' : '{bar}  ';
      bar = new Bar(
        {
          format: `  {stage} ${drawn}{value}${e.total === undefined ? '' : '/{total}'}  {left}{note}`,
          barsize: Math.min(32, Math.max(10, terminal.columns - 60)),
          clearOnComplete: true,
          hideCursor: true,
          stream: process.stderr,
          gracefulExit: false,
          etaBuffer: 30,
          linewrap: null,
        },
        Presets.shades_classic,
      );
      bar.start(Math.max(1, total), e.done, { stage: name(e.stage), note: '', left: '' });
    }
    if (total) bar.setTotal(total);
    bar.update(e.done, {
      stage: name(e.stage),
      note: oneLine(e.note ?? ''),
      left: e.secondsLeft === undefined ? (total ? eta(bar) : '') : `ETA ${Math.ceil(e.secondsLeft)} s  `,
    });
  };

  return {
    close: () => {
      stop();
      sum();
    },
    onEvent: (e) => {
      switch (e.type) {
        case 'start':
          return line(`${p.bold('quantbench')} · ${oneLine(e.title)}\n`);
        case 'stage-start':
          return stop();
        case 'progress':
          return draw(e);
        case 'stage-end':
          line(`  ${name(e.stage)} ${oneLine(e.summary)}  ${p.dim(secondsText(e.ms))}`, NAME_COLUMNS + 3);
          return sum();
        case 'diagnostic':
          return tell(e.diagnostic);
        default:
          return e satisfies never;
      }
    },
  };
}

function eta(bar: SingleBar): string {
  // The library keeps its estimate private but for the format string; NULL and INF are its words for "not yet".
  const seconds = Number((bar as unknown as { eta?: { getTime(): unknown } }).eta?.getTime());
  return Number.isFinite(seconds) ? `ETA ${seconds} s  ` : '';
}

const headOf = (d: Pick<Diagnostic, 'severity' | 'code'>, p: ReturnType<typeof paint>): string =>
  `${d.severity === 'note' ? p.dim('note') : d.severity === 'warning' ? p.yellow('warning') : p.red('error')} ` +
  `${d.code}`;

function diagnosticLine(d: Diagnostic, p: ReturnType<typeof paint>): string {
  const place = oneLine(placeOfFinding(d));
  return (
    `  ${headOf(d, p)}  ` +
    `${place ? `${place}: ` : ''}${oneLine(d.message)}${d.hint ? `\n          ${oneLine(d.hint)}` : ''}`
  );
}
