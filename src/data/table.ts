import { CsvError, parse } from 'csv-parse/sync';
import { fail } from '../base/errors.js';
import { readText } from './files.js';

/** A table in memory: header names (undefined without a header line) and rows with their line in the file. */
export interface Table {
  readonly header: readonly string[] | undefined;
  readonly rows: readonly { readonly line: number; readonly cells: readonly string[] }[];
}

/**
 * Reads .csv (RFC 4180) or .tsv (tabs, quotes are plain characters), UTF-8 with or without a byte order mark, up to 256
 * MiB. Throws DATA_FORMAT with the line for ragged rows, open quotes and NUL bytes.
 */
export async function readTable(file: string, withHeader: boolean): Promise<Table> {
  const text = await readText(file);
  const tabs = /\.(tsv|tab)$/i.test(file);
  let records: { record: string[]; info: { lines: number } }[];
  try {
    // `info: true` wraps each record, which the types of csv-parse do not express.
    records = parse(text, {
      bom: true,
      delimiter: tabs ? '\t' : ',',
      quote: tabs ? false : '"',
      info: true,
      skip_empty_lines: true,
    }) as unknown as typeof records;
  } catch (cause) {
    const line = cause instanceof CsvError && typeof cause['lines'] === 'number' ? cause['lines'] : undefined;
    return fail(
      'DATA_FORMAT',
      `${file} is not a well-formed table: ${cause instanceof Error ? cause.message : String(cause)}`,
      { file, ...(line === undefined ? {} : { line }) },
      'every row needs as many cells as the first',
      cause,
    );
  }
  const [first] = records;
  if (!first || (withHeader && records.length === 1)) return fail('DATA_MISSING', `${file} has no row`, { file });
  return {
    header: withHeader ? first.record : undefined,
    rows: (withHeader ? records.slice(1) : records).map((r) => ({ line: r.info.lines, cells: r.record })),
  };
}

/** Position of a column by header name or number. Throws DATA_FORMAT. */
export function columnOf(table: Table, column: string | number, file: string): number {
  const width = table.rows[0]?.cells.length ?? 0;
  const index = typeof column === 'number' ? column : (table.header?.indexOf(column) ?? -1);
  if (index < 0 || index >= width)
    fail(
      'DATA_FORMAT',
      `${file} has no column ${typeof column === 'number' ? column : `'${column}'`}`,
      { file, line: 1 },
      `it has ${table.header?.join(', ') ?? `${width} columns, counted from 0`}`,
    );
  return index;
}
