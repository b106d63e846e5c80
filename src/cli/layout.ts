/** Text laid out for the width of a terminal: by what characters take there, never through the middle of a word. */
import { item } from '../base/lists.js';
import stringWidth from 'string-width';
import wrapAnsi from 'wrap-ansi';
import { oneLine } from '../base/text.js';

/** Narrower than this, nothing is laid out any better. */
const LEAST_COLUMNS = 24;
/** Lines that show a piece of a file, with a caret under it: broken they would point elsewhere. */
const EXCERPT = /^\s*\d*\s+\| /;

/**
 * A line as several of at most `columns`, broken between words; those after the first start `hang` columns in. Longer
 * words stay whole.
 */
export function wrapped(line: string, columns: number, hang = /^ */.exec(line)![0].length + 2): string {
  // ^ matches every text
  if (!Number.isFinite(columns) || stringWidth(line) <= columns || EXCERPT.test(line)) return line;
  const indent = /^ */.exec(line)![0]; // matches every line
  const inner = Math.min(hang, Math.max(0, columns - LEAST_COLUMNS));
  const room = Math.max(LEAST_COLUMNS, columns - Math.max(inner, indent.length));
  return indent + broken(line.slice(indent.length), room).join(`\n${' '.repeat(inner)}`);
}

export interface Fit {
  readonly columns: number;
  /** Columns that may go, the first to go first. */
  readonly drop?: readonly number[];
  /** Blanks before each row. */
  readonly indent?: number;
}

/**
 * Columns aligned with two blanks between, those of `right` to the right; cells are made harmless. One entry a row,
 * which holds line ends where the row takes several lines. In a table too wide for `fit.columns`, empty columns go,
 * then the last column is wrapped where it keeps room to read, else moved under its row, and then columns go in the
 * order of `fit.drop`.
 */
export function table(
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
  fit: Fit = { columns: Infinity },
): string[] {
  const { columns, drop = [], indent = 0 } = fit;
  const cells = rows.map((r) => r.map(oneLine));
  const widths: number[] = [];
  for (const row of cells)
    row.forEach((c, i) => {
      widths[i] = Math.max(widths[i] ?? 0, stringWidth(c));
    });
  const last = widths.length - 1;
  let kept = widths.map((_, i) => i);
  // a width was noted for every cell
  const taken = (list: readonly number[]): number => indent + list.reduce((n, i) => n + widths[i]! + 2, -2);
  if (taken(kept) > columns) kept = kept.filter((i) => widths[i]! > 0);
  const below = (): boolean =>
    columns - taken(kept.filter((i) => i !== last)) - 2 < Math.min(widths[last] ?? 0, READABLE);
  for (const i of drop) {
    if (taken(kept) <= columns || (!below() && kept.includes(last)) || taken(kept.filter((k) => k !== last)) <= columns)
      break;
    kept = kept.filter((k) => k !== i);
  }
  const apart = taken(kept) > columns && kept.length > 1 && below();
  const inLine = apart ? kept.filter((i) => i !== last) : kept;
  const room = columns - taken(inLine.filter((i) => i !== last)) - 2;
  return cells.map((row) => {
    const line = inLine
      .filter((i) => i < row.length)
      .map((i, at, list) => {
        // kept columns have a width; within the row
        const gap = ' '.repeat(Math.max(0, widths[i]! - stringWidth(item(row, i))));
        return right.includes(i)
          ? gap + item(row, i)
          : at === list.length - 1
            ? lastCell(item(row, i), i === last && !apart ? room : Infinity, columns - room)
            : item(row, i) + gap;
      })
      .join('  ');
    const under =
      apart && row[last] ? `\n${wrapped(`${' '.repeat(indent + 4)}${row[last]}`, columns, indent + 4)}` : '';
    return `${' '.repeat(indent)}${line}`.trimEnd() + under;
  });
}
/** A last column narrower than this is better read under its row. */
const READABLE = 30;

const lastCell = (text: string, room: number, hang: number): string =>
  !Number.isFinite(room) || stringWidth(text) <= room
    ? text
    : broken(text, Math.max(LEAST_COLUMNS, room)).join(`\n${' '.repeat(Math.max(0, hang))}`);

/** Lines of at most `room`; a number stays with its unit. */
const broken = (text: string, room: number): string[] =>
  wrapAnsi(text.replace(/(\d) (?=(?:%|×|points?|ms|µs|s|dB|[kMGT]?B)(?:[^\p{L}]|$))/gu, '$1\u00a0'), room, {
    hard: false,
    trim: true,
  })
    .replaceAll('\u00a0', ' ')
    .split('\n');
