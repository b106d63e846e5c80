/** Places in the text of a recipe: line, column, and an excerpt with a mark. */
import { item } from '../base/lists.js';
import { QuantError, type ErrorCode } from '../base/errors.js';

export type ErrorAt = (code: ErrorCode, message: string, offset: number, length: number, hint?: string) => QuantError;

export function placesOf(text: string, file: string): ErrorAt {
  return (code, message, offset, length, hint) => {
    const before = text.slice(0, offset).split('\n');
    const line = before.length;
    const column = item(before, line - 1).length + 1; // split gives at least one piece
    return new QuantError(code, message, {
      where: { file, line, column },
      hint,
      excerpt: excerptOf(text, line, column, length),
    });
  };
}

/**
 * The line before, the line, and a caret line; long lines are cut around the caret, control characters shown as dots.
 */
function excerptOf(text: string, line: number, column: number, length: number): string {
  const all = text.split('\n');
  const from = Math.max(0, column - 81);
  // Control characters would shift the caret or drive the terminal.
  const cut = (s: string): string =>
    s
      .replace(/\r$/, '')
      .slice(from, from + 120)
      .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, '·');
  const shown = (n: number): string => `${String(n).padStart(6)} | ${cut(all[n - 1] ?? '')}`;
  const rest = cut(all[line - 1] ?? '').length - (column - 1 - from);
  const carets = '^'.repeat(Math.max(1, Math.min(length, rest)));
  return [
    ...(line > 1 ? [shown(line - 1)] : []),
    shown(line),
    `       | ${' '.repeat(column - 1 - from)}${carets}`,
  ].join('\n');
}
