/** Pieces of Markdown, GitHub's flavour. Names from models and data never become markup here. */
import { count, visible, visibleLines } from '../text.js';

/** Rows of a table in Markdown beyond which the rest is only counted: pull-request comments hold 65,536 characters. */
export const MAX_ROWS = 60;

export const section = (title: string, body: string): string => (body ? `## ${title}\n\n${body}` : '');

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (!rows.length) return '';
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return (
    [
      line(head),
      line(
        head.map((title, i) =>
          title && rows.every((r) => /^([−+–]|\d|cosine|SQNR|$)/.test(r[i] ?? '')) && rows.some((r) => r[i])
            ? '---:'
            : '---',
        ),
      ),
      ...rows.slice(0, MAX_ROWS).map(line),
    ].join('\n') + more(rows.length)
  );
}
export const more = (n: number): string =>
  n > MAX_ROWS ? `\n\n… and ${count(n - MAX_ROWS)} more; run.json and report.html have all.` : '';

/** Text in which nothing is Markdown, HTML, a link or a mention. */
export function text(s: string): string {
  return visible(s, 2000)
    .replace(/[\\`*_{}[\]<>#|~&!@$]/g, '\\$&')
    .replace(/:(?=\/\/)/g, '\\:')
    .replace(/\bwww\./gi, (w) => `${w.slice(0, 3)}\\.`);
}
/** A code span that no backtick or bar in the name can leave. */
export function code(name: string): string {
  const shown = visible(name).replace(/\|/g, '\\|');
  const run = Math.max(0, ...(shown.match(/`+/g) ?? []).map((m) => m.length));
  const ticks = '`'.repeat(run + 1);
  const pad = run || shown.startsWith(' ') || !shown ? ' ' : '';
  return `${ticks}${pad}${shown || ' '}${pad}${ticks}`;
}
/** A code block that no line of the content can close. */
export function fence(content: string, language: string): string {
  const shown = visibleLines(content);
  const ticks = '`'.repeat(Math.max(3, ...(shown.match(/`+/g) ?? []).map((m) => m.length + 1)));
  return `${ticks}${language}\n${shown.trimEnd()}\n${ticks}`;
}
