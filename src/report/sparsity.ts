/** Sparse weights in words and rows: how many of which layer, what the file gains, and that time is not gained. */
import type { CompressionFacts } from '../record/index.js';
import type { SparsityFacts } from '../record/sparsity.js';
import { bytes, count, percent } from './text.js';

const MOST_ROWS = 200;

/** What is said of the model that came of it. */
export function sparsityLines({ states }: CompressionFacts, written: SparsityFacts | undefined): string[] {
  const last = states.at(-1)?.sparsity;
  if (!last) return [];
  const stored = written?.storage;
  return [
    'onnxruntime computes zeros like other numbers: sparse weights make this model no faster, and take no less memory.',
    stored
      ? `The file holds ${stored.mask + stored.sparse} weights without their zeros (${stored.mask} as a bit for each place, ` +
        `${stored.sparse} as sparse initializers): ${bytes(stored.bytes)} instead of ${bytes(stored.denseBytes)}, ` +
        `${percent(1 - stored.bytes / Math.max(1, stored.denseBytes), 0)} less to carry.`
      : 'The file holds the zeros: it is as large as without them, until it is compressed for transport.',
  ];
}

/** A row for each layer that is sparse in the end. */
export function sparsityTable({ states }: CompressionFacts): { readonly head: string[]; readonly rows: string[][] } {
  const layers = states.at(-1)?.sparsity?.layers ?? [];
  const rows = layers
    .slice(0, MOST_ROWS)
    .map((l) => [l.name, percent(l.zeros / Math.max(1, l.weights), 1), count(l.weights)]);
  const more = layers.length - rows.length;
  return {
    head: ['layer', 'zeros', 'weights'],
    rows: more > 0 ? [...rows, [`and ${more} more`, '', '']] : rows,
  };
}
