/** Rows of text data: plain text, tables and JSON lines. */
import { fail, type Where } from '../../base/errors.js';
import { item } from '../../base/lists.js';
import { jsonOf } from '../../base/text.js';
import { readText } from '../files.js';
import type { DataSpec } from '../spec.js';
import { columnOf, readTable } from '../table.js';
import { isMessages, type Message } from './chat.js';

/** Of choices: what may follow the text, and which one is right. */
export interface Choices {
  readonly choices: readonly string[];
  readonly answer: number;
}
export interface TextRow {
  readonly line: number;
  readonly texts: readonly (string | readonly Message[])[];
  readonly label: string | undefined;
  readonly target: string | undefined;
  readonly choices: Choices | undefined;
}

export const isJsonLines = (file: string): boolean => /\.(jsonl|ndjson)$/i.test(file);
export const isPlainText = (file: string): boolean => /\.(txt|text|md)$/i.test(file);

/** All rows of a file, held in memory. Throws DATA_MISSING, DATA_FORMAT. */
export async function readRows(file: string, spec: DataSpec): Promise<TextRow[]> {
  const rows = isJsonLines(file)
    ? await jsonRows(file, spec)
    : isPlainText(file)
      ? await plainRows(file, spec.unit ?? 'paragraphs')
      : await tableRows(file, spec);
  if (!rows.length) fail('DATA_MISSING', `${file} has no row`, { file });
  return rows;
}

const textRow = (line: number, text: string): TextRow => ({
  line,
  texts: [text],
  label: undefined,
  target: undefined,
  choices: undefined,
});

/** Lines, or paragraphs that blank lines part; each without the space around it. */
async function plainRows(file: string, unit: 'lines' | 'paragraphs' | 'file'): Promise<TextRow[]> {
  const text = (await readText(file)).replace(/\r\n?/g, '\n');
  if (unit === 'file') return text.trim() === '' ? [] : [textRow(1, text)];
  const rows: TextRow[] = [];
  let open: string[] = [];
  let from = 1;
  const close = (): void => {
    const whole = open.join('\n').trim();
    if (whole !== '') rows.push(textRow(from, whole));
    open = [];
  };
  for (const [k, line] of text.split('\n').entries()) {
    const blank = line.trim() === '';
    if (unit === 'lines' || blank) close();
    if (blank) continue;
    if (!open.length) from = k + 1;
    open.push(line);
  }
  close();
  return rows;
}

async function tableRows(file: string, { fields, label, target }: DataSpec): Promise<TextRow[]> {
  if (!fields) fail('DATA_FORMAT', `${file} is a table: which columns hold the text?`, { file }, 'name them as fields');
  const table = await readTable(file, true);
  const columns = fields.map((f) => columnOf(table, f, file));
  const labelColumn = label === undefined ? undefined : columnOf(table, label, file);
  const targetColumn = target === undefined ? undefined : columnOf(table, target, file);
  return table.rows.map(({ line, cells }) => ({
    line,
    texts: columns.map((c) => item(cells, c)),
    label: labelColumn === undefined ? undefined : cells[labelColumn],
    target: targetColumn === undefined ? undefined : cells[targetColumn],
    choices: undefined,
  }));
}

async function jsonRows(file: string, spec: DataSpec): Promise<TextRow[]> {
  const { label, target, choices } = spec;
  const rows: TextRow[] = [];
  for await (const { line, value } of jsonLines(file)) {
    const where = { file, line };
    const row = new Map<string, unknown>(typeof value === 'object' && value !== null ? Object.entries(value) : []);
    const fields = spec.fields ?? guessedFields(row, choices !== undefined, where);
    const textOf = (f: string): string | readonly Message[] => {
      const t = row.get(f);
      if (typeof t === 'string' || isMessages(t)) return t;
      return fail('DATA_FORMAT', `line ${line} of ${file} has no text '${f}'`, where);
    };
    const found = label === undefined ? undefined : row.get(label);
    const wanted = target === undefined ? undefined : row.get(target);
    if (target !== undefined && typeof wanted !== 'string')
      fail('DATA_FORMAT', `line ${line} of ${file} has no text '${target}'`, where);
    rows.push({
      line,
      texts: fields.map(textOf),
      label: typeof found === 'number' || typeof found === 'string' ? String(found) : undefined,
      target: typeof wanted === 'string' ? wanted : undefined,
      choices: choices === undefined ? undefined : choicesOf(row, choices, where),
    });
  }
  return rows;
}

/** The values of JSON lines, blank ones left out. Throws DATA_FORMAT with the line. */
export async function* jsonLines(file: string): AsyncGenerator<{ readonly line: number; readonly value: unknown }> {
  for (const [k, text] of (await readText(file)).split('\n').entries()) {
    if (text.trim() === '') continue;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      fail('DATA_FORMAT', `line ${k + 1} of ${file} is not JSON`, { file, line: k + 1 }, undefined, cause);
    }
    yield { line: k + 1, value };
  }
}

const TEXT_KEYS = ['text', 'messages', 'prompt', 'question', 'content'] as const;

function guessedFields(row: ReadonlyMap<string, unknown>, choices: boolean, where: Where): readonly string[] {
  const among = choices ? ['prompt', 'question', 'context', 'text'] : TEXT_KEYS;
  const found = among.find((key) => typeof row.get(key) === 'string' || isMessages(row.get(key)));
  if (found !== undefined) return [found];
  return fail(
    'DATA_FORMAT',
    `line ${where.line ?? 1} of ${where.file ?? 'the data'} has none of ${among.join(', ')}; it has ` +
      `${[...row.keys()].join(', ') || 'no key'}`,
    where,
    'name the key of the text as fields: [ key ]',
  );
}

/**
 * `choices: [ … ]` and an answer: a position, a letter, or the text of the right one. Throws DATA_FORMAT, DATA_LABEL.
 */
function choicesOf(row: ReadonlyMap<string, unknown>, key: { choices: string; answer: string }, where: Where): Choices {
  const list = row.get(key.choices);
  const texts = Array.isArray(list) ? list.filter((c): c is string => typeof c === 'string' && c !== '') : [];
  if (!Array.isArray(list) || texts.length < 2 || texts.length !== list.length)
    return fail(
      'DATA_FORMAT',
      `line ${where.line ?? 1} has no list of at least two texts as '${key.choices}'`,
      where,
      '{"prompt": "…", "choices": ["…", "…"], "answer": 0}',
    );
  const answer = row.get(key.answer);
  const letter = typeof answer === 'string' && /^[A-Z]$/.test(answer) ? answer.charCodeAt(0) - 65 : undefined;
  const at =
    typeof answer === 'number' ? answer : texts.indexOf(String(answer)) >= 0 ? texts.indexOf(String(answer)) : letter;
  if (at === undefined || !Number.isInteger(at) || at < 0 || at >= texts.length)
    return fail(
      'DATA_LABEL',
      `'${key.answer}' of line ${where.line ?? 1} is ${jsonOf(answer) ?? 'missing'}, which is none of the ` +
        `${texts.length} choices`,
      where,
      'the answer is a position from 0 on, a letter from A on, or the text of a choice',
    );
  return { choices: texts, answer: at };
}
