/**
 * Codes, scales and zero points of matrices that are made while they are written, some rows at a time: weights larger
 * than memory.
 */
import { fail } from '../base/errors.js';
import { joined } from '../ir/converted.js';
import { dtypeBits } from '../ir/dtype.js';
import { encodeTensor } from '../ir/encode.js';
import { slabsOf, type RowsOf } from '../ir/rows.js';
import { Tensor } from '../ir/tensor.js';
import type { QuantParams, RowSolver } from '../scheme/types.js';
import { blockKernels } from './block-kernels.js';
import { packRows, rowBytes, zerosOf, type PackedRows } from './rows.js';
import { storedScales, type ScaleType } from './scales.js';

export interface LaterBlocks {
  /** uint8 [rows, blocks, bytes of a block], or [rows, bytes of a row]. */
  readonly codes: Tensor;
  /** [rows, blocks]. */
  readonly scale: Tensor;
  /** uint8 [rows, bytes]; undefined where zero points are the middle of the codes, as in symmetric signed schemes. */
  readonly zeroPoint: Tensor | undefined;
}

/** Rows are made in parts of a multiple of these, so that codes of several rows never share a byte. */
const ROWS = 8;

/**
 * The tensors of a matrix whose parameters are chosen by `params.later`. They give the same bytes each time they are
 * read; scales that were made with the codes are kept until they are read. Throws MODEL_TENSOR, while they are read,
 * for values that are not finite.
 */
export function laterBlocks(
  m: RowsOf,
  params: QuantParams,
  { padded, scaleType, name }: { readonly padded: boolean; readonly scaleType: ScaleType; readonly name: string },
): LaterBlocks {
  const { scheme, later } = params;
  if (!later) fail('INTERNAL', `bug in quantbench: '${name}' has parameters already`);
  const { rows, columns } = m;
  const bits = dtypeBits(scheme.dtype);
  const size = scheme.granularity.kind === 'block' ? scheme.granularity.size : columns;
  const blocks = Math.ceil(columns / size);
  const bytes = rowBytes(columns, params, padded);
  const zeroBytes = Math.ceil((blocks * bits) / 8);
  const scaleWidth = dtypeBits(scaleType) / 8;
  const hasZeros = !(scheme.symmetric && !scheme.dtype.startsWith('u'));
  /** Of the pass that made the codes, until they are read. */
  let scales: Uint8Array | undefined;
  let zeros: Uint8Array | undefined;
  function* made(): Generator<Uint8Array> {
    const [ownScales, ownZeros] = [new Uint8Array(rows * blocks * scaleWidth), new Uint8Array(rows * zeroBytes)];
    for (const { first, count, chosen, packed } of partsOf(m, later!, { padded, scaleType, bytes, hasZeros, name })) {
      // checked above
      ownScales.set(encodeTensor(scaleType, [count, blocks], chosen.scale).bytes(), first * blocks * scaleWidth);
      if (hasZeros) packZeros(packed.zeros, [count, blocks], bits, ownZeros, first * zeroBytes);
      yield packed.codes;
    }
    [scales, zeros] = [ownScales, ownZeros];
  }
  const ofParams = (which: () => Uint8Array | undefined): Uint8Array => {
    if (!which()) for (const _ of made()); // they were read before, or are read first
    return which()!; // made just now
  };
  const take = (which: 'scales' | 'zeros'): Uint8Array => {
    const found = ofParams(() => (which === 'scales' ? scales : zeros));
    if (which === 'scales') scales = undefined;
    else zeros = undefined;
    return found;
  };
  const source = (byteLength: number, which: 'scales' | 'zeros') => ({
    byteLength,
    read: () => take(which),
    *pieces() {
      yield take(which);
    },
  });
  return {
    codes: new Tensor('uint8', padded ? [rows, blocks, bytes / blocks] : [rows, bytes], {
      byteLength: rows * bytes,
      read: () => joined(made(), rows * bytes),
      pieces: made,
    }),
    scale: new Tensor(scaleType, [rows, blocks], source(rows * blocks * scaleWidth, 'scales')),
    zeroPoint: hasZeros ? new Tensor('uint8', [rows, zeroBytes], source(rows * zeroBytes, 'zeros')) : undefined,
  };
}

interface Part {
  readonly first: number;
  readonly count: number;
  readonly chosen: QuantParams;
  /** Codes until the next part is made. */
  readonly packed: PackedRows;
}
interface PartForm {
  readonly padded: boolean;
  readonly scaleType: ScaleType;
  readonly bytes: number;
  readonly hasZeros: boolean;
  readonly name: string;
}
const NO_ZEROS = new Uint8Array(0);

/** Some rows after the others: by kernels where extremes are all that is looked at. */
function* partsOf(m: RowsOf, solver: RowSolver, form: PartForm): Generator<Part> {
  const { rows, columns } = m;
  const { padded, scaleType, bytes } = form;
  const kernels = blockKernels();
  const { size } = solver;
  const step = kernels?.rowsOf(m, size, ROWS) ?? 0;
  const solve = (first: number, count: number, values: Float32Array): Part => {
    if (!areFinite(values)) notFinite(form);
    const chosen = storedScales(solver.solve(values, [count, columns]), scaleType);
    return { first, count, chosen, packed: packRows(values, [count, columns], chosen, padded) };
  };
  if (!kernels || step === 0) {
    for (const { first, count, values } of slabsOf(m, ROWS)) yield solve(first, count, values);
    return;
  }
  for (let first = 0; first < rows; first += step) {
    const count = Math.min(step, rows - first);
    kernels.read(m, first, count);
    if (!solver.fromExtremes) {
      yield solve(first, count, kernels.values(count * columns));
      continue;
    }
    const extremes = kernels.extremes(count, columns, size) ?? notFinite(form);
    const chosen = storedScales(solver.fromExtremes(extremes, [count, columns]), scaleType);
    const codes = kernels.pack(count, columns, chosen, bytes, padded);
    yield { first, count, chosen, packed: { codes, zeros: form.hasZeros ? zerosOf(chosen) : NO_ZEROS } };
  }
}

function areFinite(values: Float32Array): boolean {
  let probe = 0;
  for (let i = 0; i < values.length; i++) probe += values[i]! - values[i]!;
  return probe === 0;
}

const notFinite = ({ name }: PartForm): never =>
  fail(
    'MODEL_TENSOR',
    `weight '${name}' holds values that are not finite`,
    { tensor: name },
    'export the model again from sound weights',
  );

/** Rows of codes, each filled up to whole bytes. */
function packZeros(
  codes: Uint8Array,
  [rows, width]: readonly [number, number],
  bits: number,
  out: Uint8Array,
  to: number,
): void {
  const bytes = Math.ceil((width * bits) / 8);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < width; c++) {
      const bit = c * bits;
      out[to + r * bytes + (bit >> 3)]! |= codes[r * width + c]! << (bit & 7);
    }
}
