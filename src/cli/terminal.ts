/** The two output streams: data go to stdout, everything said to a person to stderr. */
import { printable, printableJson } from '../base/text.js';
import { wrapped } from './layout.js';

/** All that is printed passes here, so that no name of a model or a file can drive the terminal. */
export interface Terminal {
  /** Writes text or JSON to stdout; control characters and direction marks are written as escapes that JSON has too. */
  data(text: string): void;
  /**
   * Writes lines for people to stderr; the same, and broken between words where they are too long, with `hang` blanks
   * before what goes on.
   */
  say(line: string, hang?: number): void;
  /** Whether bars may be drawn and redrawn on stderr. */
  readonly animated: boolean;
  readonly colour: boolean;
  /** Width of stderr; infinite where it is no terminal and COLUMNS does not say. */
  readonly columns: number;
  /** Width of stdout; infinite where it is no terminal, since programs read lines. */
  readonly dataColumns: number;
}

/**
 * A reader that stops early (`| head`) must not crash us: what cannot be written any more is dropped. `close` waits for
 * what is under way and gives the error of a stream that could not take it all: a full disk, but not a reader that
 * left.
 */
export function openTerminal(): Terminal & { close(): Promise<NodeJS.ErrnoException | undefined> } {
  const closed = new Set<NodeJS.WritableStream>();
  let failure: NodeJS.ErrnoException | undefined;
  const onError =
    (stream: NodeJS.WritableStream) =>
    (error: NodeJS.ErrnoException): void => {
      closed.add(stream);
      if (error.code !== 'EPIPE') failure ??= error;
    };
  const listeners = [process.stdout, process.stderr].map((stream) => ({ stream, listener: onError(stream) }));
  for (const { stream, listener } of listeners) stream.on('error', listener);
  const write = (stream: NodeJS.WritableStream, text: string): void => {
    if (!closed.has(stream)) stream.write(text);
  };
  const plain = process.env.TERM === 'dumb' || !process.stderr.isTTY;
  const forced = process.env.FORCE_COLOR !== undefined && process.env.FORCE_COLOR !== '0';
  const colour = !process.env.NO_COLOR && (forced || !plain);
  const columns =
    (process.stderr.isTTY ? process.stderr.columns : 0) ||
    Number(process.env.COLUMNS) ||
    (process.stderr.isTTY ? 80 : Infinity);
  const dataColumns = process.stdout.isTTY ? process.stdout.columns || Number(process.env.COLUMNS) || 80 : Infinity;
  return {
    data: (text) => {
      const shown = harmless(text, colour, printableJson);
      // JSON stays as it is: who copies it from a terminal wants it whole.
      write(
        process.stdout,
        Number.isFinite(dataColumns) && !/^[[{]/.test(shown)
          ? shown
              .split('\n')
              .map((line) => wrapped(line, dataColumns))
              .join('\n')
          : shown,
      );
    },
    say: (text, hang) =>
      write(
        process.stderr,
        `${harmless(text, colour, printable)
          .split('\n')
          .map((line) => wrapped(line, columns, hang))
          .join('\n')}\n`,
      ),
    animated: !plain && !process.env.CI,
    colour,
    columns,
    dataColumns,
    close: async () => {
      // A broken pipe is told after the write: wait for what is under way before the listeners go.
      await Promise.all(
        [process.stdout, process.stderr].map(
          (stream) =>
            new Promise<void>((done) => {
              if (closed.has(stream)) done();
              else stream.write('', () => setImmediate(done));
            }),
        ),
      );
      for (const { stream, listener } of listeners) stream.off('error', listener);
      return failure;
    },
  };
}

/** The escapes that {@link paint} writes, and nothing else does. */
const OWN = /(\x1b\[(?:1|2|22|31|32|33|39)m)/;
/** Text with every control character escaped but, where there are colours, our own. */
function harmless(text: string, colour: boolean, escape: (s: string) => string): string {
  return colour
    ? text
        .split(OWN)
        .map((part, i) => (i % 2 ? part : escape(part)))
        .join('')
    : escape(text);
}
/**
 * Few colours, always with words beside them. Escapes are added after the text was made harmless; painted text may
 * be painted again.
 */
export function paint(terminal: { readonly colour: boolean }): {
  bold(s: string): string;
  dim(s: string): string;
  red(s: string): string;
  green(s: string): string;
  yellow(s: string): string;
} {
  const wrap =
    (on: number, off: number) =>
    (s: string): string =>
      terminal.colour && s ? `\x1b[${on}m${harmless(s, true, printable)}\x1b[${off}m` : printable(s);
  return { bold: wrap(1, 22), dim: wrap(2, 22), red: wrap(31, 39), green: wrap(32, 39), yellow: wrap(33, 39) };
}
