import { isNumber, revealed, visible } from '../text.js';

/** Markup that is safe to put into the page: only {@link html} makes it, and it escapes all that is not such markup. */
export class Markup {
  readonly text: string;
  /** @internal */ constructor(text: string) {
    this.text = text;
  }
}
export type Part = Markup | string | number | undefined | false | readonly Part[];

/**
 * A tagged template: everything between the literal parts is escaped, unless it is markup itself. Attributes must be
 * quoted.
 */
export function html(literals: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  let out = literals[0] ?? '';
  parts.forEach((part, i) => {
    out += shown(part) + (literals[i + 1] ?? '');
  });
  return new Markup(out);
}

function shown(part: Part): string {
  if (part === undefined || part === false) return '';
  if (part instanceof Markup) return part.text;
  if (typeof part === 'number') return isNumber(part) ? String(part) : '–';
  if (typeof part === 'string') return escape(part);
  return part.map(shown).join('');
}

const escape = (s: string): string => revealed(s).replace(/[&<>"'`]/g, (c) => `&#${c.charCodeAt(0)};`);

/**
 * A name from a model or from data, set apart so that its direction cannot disturb what is around it; lines break
 * between its parts.
 */
export const name = (s: string, limit?: number): Markup =>
  html`<bdi class="name">${visible(s, limit)
    .split(/(?<=\w[/.])(?=\w)/)
    .map((piece, i) => [i > 0 && new Markup('<wbr>'), piece])}</bdi>`;
