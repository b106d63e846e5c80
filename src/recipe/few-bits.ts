/** The method of weights of few bits, where a recipe names none. */
import { isPlain, type Plain } from './override.js';

/** Up to here rounding to the nearest code costs more than a search for better ones takes. */
const FEW_BITS = 3;

/** The written recipe, with `method: best` where format weight-only stores blocks of 3 bits or fewer. */
export function withMethodOfFewBits(written: Plain): Plain {
  const { quantize } = written;
  if (!isPlain(quantize) || quantize.format !== 'weight-only') return written;
  const weights = quantize.weights;
  if (!isPlain(weights) || weights.method !== undefined || weights.rounding !== undefined) return written;
  const { bits, dtype, granularity } = weights;
  const few = typeof bits === 'number' ? bits <= FEW_BITS : typeof dtype === 'string' && /^u?int2$/.test(dtype);
  if (!few || (granularity !== undefined && !isPlain(granularity))) return written;
  return { ...written, quantize: { ...quantize, weights: { ...weights, method: 'best' } } };
}
