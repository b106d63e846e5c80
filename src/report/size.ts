/** What keeps a quantized model large, in words, with the key that would change it. */
import type { RunRecord } from '../record/index.js';
import { bytes, percent } from './text.js';

/** Float tensors of less than this share of the file are no reason for its size. */
const NOTABLE = 0.1;
/** Ops that look rows up in a table. */
const TABLES: ReadonlySet<string> = new Set(['Gather', 'GatherND', 'EmbeddingBag']);

/**
 * Such as `47 MB of float embeddings keep it large (75 % of the file): \`quantize.embeddings: int8\` stores them in
 * fewer bits.`
 */
export function keptLarge({ model: { quantized }, recipe }: RunRecord): string[] {
  if (!quantized?.largest) return [];
  const byOp = new Map<string, number>();
  for (const t of quantized.largest)
    if (/^float(16|32|64)$/.test(t.dtype)) byOp.set(t.op, (byOp.get(t.op) ?? 0) + t.bytes);
  // looked at with care: the record may be of another version
  const format = (recipe.resolved as { quantize?: { format?: unknown } } | null | undefined)?.quantize?.format;
  return [...byOp]
    .filter(([, n]) => n >= NOTABLE * quantized.bytes)
    .sort((a, b) => b[1] - a[1])
    .map(([op, n]) => {
      const what = TABLES.has(op) ? 'float embeddings' : op === '' ? 'float constants' : `float weights of ${op}`;
      const how = TABLES.has(op)
        ? '`quantize.embeddings: int8` stores them in fewer bits'
        : format === 'float16' || format === 'float'
          ? 'that is what the format stores'
          : '`quantize.rest: float16` stores what stays float in half';
      return `${bytes(n)} of ${what} keep it large (${percent(n / quantized.bytes, 0)} of the file): ${how}.`;
    });
}
