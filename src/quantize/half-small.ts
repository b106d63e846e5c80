/**
 * Which nodes of a float16 plan need float32 because numbers near zero matter to them: an epsilon that float16 rounds
 * to 0 divides by zero.
 */
import { floatPieces } from '../ir/converted.js';
import { dataOf } from '../ir/known.js';
import { float16ToNumber, numberToFloat16 } from '../ir/convert.js';
import type { Node, Value } from '../ir/graph.js';
import { isLogarithm, isRoot } from '../ops/kinds.js';
import { keepsSmall, magnifies, onlyShifts } from '../ops/magnitude.js';

/**
 * A constant whose image in float16 is off by more than this is not the same constant: 1e-5 is off by 0.15 %, 1e-6 by
 * 1.3 %, 1e-8 is 0.
 */
const MOST_OFF = 2 ** -7;

const roundToHalf = (x: number): number => float16ToNumber(numberToFloat16(x));

export interface SmallNumbers {
  /** Nodes that stay float32, and why. */
  readonly kept: ReadonlyMap<Node, string>;
  /** For operands that are magnified as they go to zero: the nodes to keep where calibration sees them near it. */
  readonly watched: ReadonlyMap<Value, ReadonlySet<Node>>;
}

/**
 * An epsilon that float16 loses keeps its reader, what leads from there to a divisor, logarithm or root, and what makes
 * small
 * numbers on the way there (squares, their means, exponentials). Logarithms are kept with what makes small numbers for
 * them, epsilon or not:
 * float16 rounds to 0 what is below 3e-8, and the logarithm of 0 is infinite. So are constant divisors that float16
 * loses.
 */
export function smallNumbers(order: readonly Node[], isInput: ReadonlySet<Value>): SmallNumbers {
  const kept = new Map<Node, string>();
  const watched = new Map<Value, ReadonlySet<Node>>();
  const keep = (nodes: Iterable<Node>, why: string): void => {
    for (const n of nodes) if (!kept.has(n)) kept.set(n, why);
  };
  for (const n of order) {
    for (const [i, v] of n.inputs.entries()) {
      if (!v || v.dtype !== 'float32') continue;
      if (v.isInitializer && !isInput.has(v)) {
        const lost = lostConstant(n, i, v);
        if (lost === undefined) continue;
        const fate = roundToHalf(lost) === 0 ? 'rounds to 0' : 'holds badly';
        const why = `'${v.name}' holds ${Number(lost.toPrecision(3))}, which float16 ${fate}`;
        keep([n], why);
        keep(towardsMagnifier(n), why);
      } else if (magnifies(n, i) && v.producer && keepsSmall(v.producer)) {
        const chain = new Set([n, ...makers(v)]);
        if (isLogarithm(n)) keep(chain, `'${n.name || n.op}' is a logarithm of what float16 may round to 0`);
        else watched.set(v, chain);
      }
    }
  }
  return { kept, watched };
}

/**
 * An element that is not the same in float16 and matters there: any of a divisor or base, else where all of them are
 * so.
 */
function lostConstant(n: Node, index: number, v: Value): number | undefined {
  if (!(magnifies(n, index) || keepsSmall(n) || onlyShifts(n))) return undefined;
  const off = (x: number): boolean =>
    x !== 0 && Number.isFinite(x) && Math.abs(x) < 1 && Math.abs(roundToHalf(x) - x) > MOST_OFF * Math.abs(x);
  const any = magnifies(n, index);
  let found: number | undefined;
  for (const values of floatPieces(dataOf(v)))
    // an initializer has data
    for (const x of values) {
      if (off(x)) found ??= x;
      else if (!any && x !== 0) return undefined;
      if (any && found !== undefined) return found;
    }
  return found;
}

/**
 * What lies between a node and the divisors, logarithms and roots that its result reaches, these included, and what
 * makes small numbers for any of them.
 */
function towardsMagnifier(from: Node): Set<Node> {
  const reaches = new Map<Node, boolean>();
  const found = new Set<Node>();
  const walk = (n: Node): boolean => {
    const known = reaches.get(n);
    if (known !== undefined) return known;
    reaches.set(n, false);
    let any = false;
    for (const u of n.outputs.flatMap((y) => [...y.uses])) {
      const magnifier = magnifies(u.node, u.index);
      // A root of something small is small again.
      const on = magnifier
        ? isRoot(u.node) && walk(u.node)
        : (keepsSmall(u.node) || onlyShifts(u.node)) && walk(u.node);
      if (!magnifier && !on) continue;
      any = true;
      found.add(u.node);
    }
    reaches.set(n, any);
    return any;
  };
  if (!walk(from)) return found;
  found.add(from);
  for (const n of [...found]) for (const v of n.inputs) if (v?.producer) for (const m of makers(v)) found.add(m);
  return found;
}

/** The nodes that make a value by what keeps numbers small. */
function makers(v: Value): Set<Node> {
  const found = new Set<Node>();
  const stack = [v];
  for (let at = stack.pop(); at; at = stack.pop()) {
    const p = at.producer;
    if (!p || found.has(p) || !keepsSmall(p)) continue;
    found.add(p);
    for (const x of p.inputs) if (x) stack.push(x);
  }
  return found;
}
