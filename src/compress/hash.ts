/** A hash of whole numbers that ONNX operators on int64 compute, too. */
import type { Rng } from '../base/rng.js';

/** 2^31 − 1: products of two residues fit into int64. */
export const PRIME = 2147483647;

/**
 * u = (a·i + b) mod p, v = (u² + c) mod p; v mod `buckets` is the bucket, and (d·v + e) mod p mod 2 the sign. The
 * square keeps neighbours, which a line alone would spread evenly, from meeting in regular patterns.
 */
export interface Hash {
  readonly buckets: number;
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  readonly e: number;
}

export function drawHash(rng: Rng, buckets: number): Hash {
  const draw = (): number => 1 + Math.floor(rng.next() * (PRIME - 1));
  return { buckets, a: draw(), b: draw(), c: draw(), d: draw(), e: draw() };
}

const mixed = (h: Hash, i: number): number => {
  const u = (timesMod(h.a, i % PRIME) + h.b) % PRIME;
  return (timesMod(u, u) + h.c) % PRIME;
};
export const bucketOf = (h: Hash, i: number): number => mixed(h, i) % h.buckets;
export const signOf = (h: Hash, i: number): number => (((timesMod(h.d, mixed(h, i)) + h.e) % PRIME) % 2 ? 1 : -1);

/** a·b mod p without a product beyond 2^53: a is taken in two halves of 16 bits. */
function timesMod(a: number, b: number): number {
  const [high, low] = [Math.floor(a / 65536), a % 65536];
  return (((high * b) % PRIME) * 65536 + low * b) % PRIME;
}
