/**
 * The shell of every page: one file that needs nothing else. Its content security policy allows the one style and the
 * one script by their hashes and no request at all, so that even a hole in the escaping could do nothing.
 */
import { createHash } from 'node:crypto';
import { isNumber, revealed } from '../text.js';
import { html, Markup, type Part } from './markup.js';
import { style } from './style.js';
import { chartStyle } from './style-charts.js';

const css = style + chartStyle;

export interface Page {
  readonly title: string;
  readonly body: Part;
  readonly script: string;
  /** What the script draws from; it reads it as text, never as markup. */
  readonly data?: unknown;
  /** Whether pictures inside of the page (data: URLs) are allowed. */
  readonly images?: boolean;
}

export function page({ title, body, script, data, images }: Page): string {
  const policy =
    `default-src 'none'; style-src '${hashOf(css)}'; script-src ` +
    `'${hashOf(script)}';${images ? ' img-src data:;' : ''} base-uri 'none'; form-action 'none'`;
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${
    policy
  }"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer"><title>${title} – quantbench report</title><style>${new Markup(css)}</style></head>
<body>${body}${
    data !== undefined && html`<script type="application/json" id="data">${new Markup(inScript(data))}</script>`
  }<script>${new Markup(script)}</script></body></html>
`.text;
}

/** JSON in which nothing can end the element around it. */
const inScript = (data: unknown): string =>
  revealed(JSON.stringify(data)).replace(/[<>&]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`);
const hashOf = (s: string): string => `sha256-${createHash('sha256').update(s).digest('base64')}`;

/** Links to the sections that are there, by their titles; names that link nowhere are left out by who calls. */
export const contents = (titles: readonly string[]): Markup =>
  html`<nav class="contents" aria-label="contents">${titles.map((t) => html`<a href="#${anchor(t)}">${t}</a> `)}</nav>`;
/** A part that folds away, with what is in it in a few words. */
export const section = (title: string, summary: Part, body: Part, open: boolean): Markup =>
  html`<details class="section" id="${anchor(title)}"${open && html` open`}><summary><h2>${
    title
  }</h2> <span class="dim">${summary}</span></summary>${body}</details>`;
export const anchor = (title: string): string => title.toLowerCase().replace(/[^a-z]+/g, '-');
export const tile = (title: string, value: string, tone: string, ...below: readonly Part[]): Markup =>
  html`<div class="tile ${tone}"><h2>${title}</h2><div class="value">${together(value)}</div>${below}</div>`;
/** Tables and drawings beyond this are laid out only when they come into view. */
export const LARGE = 100;
/** A table in a box that scrolls sideways on its own, reachable by keyboard. What stands in `foot` is not sorted. */
export function table(head: Part, rows: readonly Markup[], label: string, sortable = false, foot?: Markup): Markup {
  return html`<div class="scroll${rows.length > LARGE && ' large'}" tabindex="0" role="region" aria-label="${
    label
  }"><table${sortable && html` data-sort`}><thead><tr>${head}</tr></thead><tbody>${rows}</tbody>${
    foot && html`<tfoot>${foot}</tfoot>`
  }</table></div>`;
}
/** What a cell is sorted by; empty, which sorts as the smallest, where there is no number. */
export const sortKey = (value: number | undefined): string => (isNumber(value) ? String(value) : '');
/** Keeps numbers and their units on one line. */
export const together = (s: string): string =>
  s.replace(/(?<=\d) (?=(?:%|×|ms|µs|dB|[KMGT]?B|kB|points)(?![\w]))/g, '\u00a0');
