/** What a run tells, drawn on stderr: a bar with the time left on a terminal, one line per stage elsewhere. */
import type { SingleBar } from 'cli-progress';
import type { Diagnostic } from '../base/errors.js';
import type { OnEvent, RunEvent } from '../base/events.js';
import { oneLine, secondsText } from '../base/text.js';
import { placeOf } from './errors.js';
import { paint, type Terminal } from './terminal.js';

const NAME_COLUMNS = 11;
/** Bars are redrawn below this width only as text. */
const NARROW = 60;
const SHOWN_DIAGNOSTICS = 20;
/** Findings of one kind that are told one by one; of the others, their number is told. */
const SHOWN_ALIKE = 2;
/** Places that are named for those. */
const NAMED_PLACES = 3;

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
  const kinds = new Map<string, { readonly first: Diagnostic; seen: number; readonly places: string[] }>();
  const stop = (): void => {
    bar?.stop();
    bar = undefined;
  };
  const line = (text: string, hang?: number): void => {
    stop();
    terminal.say(text, hang);
  };
  const tell = (d: Diagnostic): void => {
    const key = kindOf(d);
    const kind = kinds.get(key) ?? { first: d, seen: 0, places: [] };
    kinds.set(key, kind);
    if (++kind.seen > SHOWN_ALIKE) {
      const place = placeOfDiagnostic(d);
      if (place && kind.places.length < NAMED_PLACES) kind.places.push(place);
      return;
    }
    diagnostics++;
    if (diagnostics <= SHOWN_DIAGNOSTICS) line(diagnosticLine(d, p), 10);
    else if (diagnostics === SHOWN_DIAGNOSTICS + 1) line('  further warnings are in run.json');
  };
  /** What was kept back of findings that are alike. */
  const sum = (): void => {
    for (const [key, { first, seen, places }] of kinds) {
      kinds.delete(key);
      const more = seen - SHOWN_ALIKE;
      if (more > 0)
        line(
          `  ${headOf(first, p)}  and ${more} more like ` +
            `it${places.length ? `: ${places.join(', ')}${more > places.length ? ', …' : ''}` : ''}`,
          10,
        );
    }
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

/** Findings are alike where they differ in names and numbers only. */
const kindOf = ({ code, severity, message }: Diagnostic): string =>
  `${severity} ${code} ${message.replace(/'[^']*'|"[^"]*"|\d+(?:\.\d+)?/g, '')}`.slice(0, 300);
const placeOfDiagnostic = ({ where }: Diagnostic): string =>
  oneLine(where ? where.sample || placeOf(where) || where.node || where.tensor || '' : '');
const headOf = (d: Diagnostic, p: ReturnType<typeof paint>): string =>
  `${d.severity === 'note' ? p.dim('note') : d.severity === 'warning' ? p.yellow('warning') : p.red('error')} ` +
  `${d.code}`;

function diagnosticLine(d: Diagnostic, p: ReturnType<typeof paint>): string {
  const place = placeOfDiagnostic(d);
  return (
    `  ${headOf(d, p)}  ` +
    `${place ? `${oneLine(place)}: ` : ''}${oneLine(d.message)}${d.hint ? `\n          ${oneLine(d.hint)}` : ''}`
  );
}
