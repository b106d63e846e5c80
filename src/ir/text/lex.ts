/** Tokens of the ONNX text syntax (https://github.com/onnx/onnx/blob/main/docs/Syntax.md). */
import { fail } from '../../base/errors.js';

export type TokenKind = 'id' | 'string' | 'int' | 'float' | 'punct' | 'end';
/** For strings, `text` is the content with escapes resolved. Lines and columns count from 1. */
export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  readonly line: number;
  readonly column: number;
}

const SPACE = /(?:\s|#[^\n]*)*/y;
const IDENTIFIER = /[A-Za-z_]\w*/y;
const NUMBER = /-?(?:\d+(\.\d*)?([eE][+-]?\d+)?|(?:inf(?:inity)?|nan)\b)/iy;
const STRING = /"((?:[^"\\]|\\[^])*)"/y;
const PUNCTUATION = '()[]{}<>=,:.@?';

/** All tokens, the last of kind 'end'. A backslash in a string takes the next character as it is. Throws GRAPH_TEXT. */
export function lex(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  let line = 1;
  let lineStart = 0;
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };
  const advance = (length: number): void => {
    for (let end = at + length; at < end; at++)
      if (text[at] === '\n') {
        line++;
        lineStart = at + 1;
      }
  };
  for (;;) {
    advance(match(SPACE)?.[0].length ?? 0);
    const place = { line, column: at - lineStart + 1 };
    const push = (kind: TokenKind, content: string, length: number): void => {
      tokens.push({ kind, text: content, ...place });
      advance(length);
    };
    const c = text[at];
    if (c === undefined) {
      push('end', 'end of text', 0);
      return tokens;
    }
    let m: RegExpExecArray | null;
    if (c === '"') {
      m = match(STRING) ?? fail('GRAPH_TEXT', 'a string is not closed', place, 'end it with "');
      push('string', m[1]!.replace(/\\([^])/g, '$1'), m[0].length); // group 1 takes part in every match
    } else if ((m = match(IDENTIFIER))) push('id', m[0], m[0].length);
    else if ((m = match(NUMBER))) push(/^-?\d+$/.test(m[0]) ? 'int' : 'float', m[0], m[0].length);
    else if (PUNCTUATION.includes(c)) push('punct', c, 1);
    else fail('GRAPH_TEXT', `unexpected character '${c}'`, place);
  }
}

/** The number that a token spells, including inf and nan; undefined where it is not one. */
export function numberOf(token: Token): number | undefined {
  if (token.kind === 'int') return Number(token.text);
  const word = token.text.toLowerCase();
  if (token.kind === 'id' || /[an]/.test(word)) {
    if (/^-?inf(inity)?$/.test(word)) return word.startsWith('-') ? -Infinity : Infinity;
    return /^-?nan$/.test(word) ? NaN : undefined;
  }
  return token.kind === 'float' ? Number(token.text) : undefined;
}
