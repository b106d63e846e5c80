/**
 * Spectra inside of a model: frames times sines, squared, summed, and as decibels. A step of int8 is an absolute error,
 * which a logarithm or root of small numbers makes as large as the numbers; so what leads there stays float.
 */
import type { Diagnostic } from '../base/errors.js';
import { label, type Node, type Value } from '../ir/graph.js';
import { specOf } from '../ops/index.js';
import { carriesRelative, keepsOffZero, magnified } from '../ops/spectrum.js';

export const SPECTRUM = 'a logarithm or root follows, to which small values of its result matter as much as large ones';

interface At {
  readonly value: Value;
  /** Whether what follows is a logarithm, or squares under a root: that linear layers here stay float. */
  readonly felt: boolean;
  readonly by: 'logarithm' | 'root';
  /** Whether a linear layer lies between: then the stretch ends where something but sums and squares makes numbers. */
  readonly behind: boolean;
}

/**
 * Linear layers whose result reaches a logarithm, or as squares or magnitudes a root or divisor, by nothing but what
 * moves, adds, scales and limits, or by more such layers; and the arithmetic on the way. Norms over many elements, as
 * in LayerNormalization, are no such way: no single small value counts there.
 */
export function spectrumNodes(order: readonly Node[], isInput: ReadonlySet<Value>): Map<Node, string> {
  const found = new Map<Node, string>();
  const seen = new Map<Value, Set<string>>();
  const stack: At[] = order.flatMap((n) =>
    magnified(n).map(({ value, by }) => ({ value, by, felt: by === 'logarithm', behind: false })),
  );
  for (let at = stack.pop(); at; at = stack.pop()) {
    const state = `${at.felt} ${at.by} ${at.behind}`;
    const states = seen.get(at.value) ?? new Set<string>();
    if (states.has(state)) continue;
    seen.set(at.value, states.add(state));
    const n = at.value.producer;
    if (!n) continue;
    const role = specOf(n)?.quant;
    if (role?.role === 'compute') {
      const w = n.inputs[role.weight];
      if (!at.felt || !w?.isInitializer || isInput.has(w)) continue;
      found.set(n, SPECTRUM);
      for (const i of role.activations) stack.push(...next(n.inputs[i], { ...at, behind: true }));
      continue;
    }
    const carries = carriesRelative(n);
    if (!carries || (at.behind && carries === 'chooses') || (at.by === 'root' && keepsOffZero(n))) continue;
    for (const v of n.inputs) stack.push(...next(v, { ...at, felt: at.felt || carries === 'squares' }));
  }
  return found;
}

const next = (value: Value | null | undefined, at: Omit<At, 'value'>): At[] =>
  value && value.dtype === 'float32' && !value.isInitializer ? [{ ...at, value }] : [];

/** What to tell of a plan that keeps such layers float. */
export function spectrumNote(floatNodes: ReadonlyMap<Node, string>): Diagnostic | undefined {
  const nodes = [...floatNodes].flatMap(([n, why]) => (why === SPECTRUM ? [n] : []));
  const [first] = nodes;
  if (!first) return undefined;
  const one = nodes.length === 1;
  return {
    severity: 'note',
    code: 'SPECTRUM',
    message:
      `${nodes.length} ${
        one ? 'layer stays' : 'layers stay'
      } float before a logarithm or root, as a spectrum is made: ` +
      'there small values matter as much as large ones, and int8 keeps only the large ones',
    hint: `to have integers all the same, name ${one ? 'it' : 'them'} in quantize.layers, as { match: "${label(
      first,
    )}" }`,
    where: { node: label(first) },
  };
}
