import { fail, nearest } from '../base/errors.js';
import { label, type Graph, type Node } from '../ir/graph.js';

/** Chooses nodes: an exact node or tensor name, a glob with * and ?, `re:` and a regular expression, `{ opType }`, `first` or `last` compute node. */
export type NodeFilter = string | { readonly opType: string } | { readonly position: 'first' | 'last' };

/** Throws RECIPE_INVALID for a regular expression that is malformed or could take exponential time. */
export function compileRegExp(source: string): RegExp {
  // A quantified group that itself ends in a quantifier, or alternation inside a repeated group, is where backtracking explodes.
  if (source.length > 500 || /\([^()]*[+*}][^()]*\)\s*[+*{]/.test(source) || /\([^()]*\|[^()]*\)\s*[+*{]/.test(source)) {
    fail('RECIPE_INVALID', `the pattern "${source.slice(0, 80)}" repeats a group that repeats inside; matching it could take forever`, {}, 'write it without nested repetition');
  }
  try { return new RegExp(source); } catch (cause) { return fail('RECIPE_INVALID', `"${source}" is not a regular expression: ${(cause as Error).message}`, {}, undefined, cause); } // RegExp throws SyntaxError
}

const glob = (pattern: string): RegExp => new RegExp(`^${pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&').replace(/\*+/g, '.*').replace(/\?/g, '.')}$`, 's');

/** A test of names: exact, glob or `re:`. */
export function nameTest(pattern: string): (name: string) => boolean {
  if (pattern.startsWith('re:')) { const r = compileRegExp(pattern.slice(3)); return (n) => r.test(n); }
  if (/[*?]/.test(pattern)) { const r = glob(pattern); return (n) => r.test(n); }
  return (n) => n === pattern;
}

/**
 * The nodes that a list of filters names. A filter that matches nothing is a mistake: throws RECIPE_UNKNOWN_NAME with
 * the nearest name.
 */
export function selectNodes(graph: Pick<Graph, 'topological'>, filters: readonly NodeFilter[], computeNodes: readonly Node[]): Map<Node, string> {
  const chosen = new Map<Node, string>();
  const all = graph.topological();
  for (const f of filters) {
    let found: readonly Node[];
    let text: string;
    if (typeof f === 'string') {
      text = f;
      const test = nameTest(f);
      found = all.filter((n) => test(n.name) || n.outputs.some((o) => test(o.name)) || n.inputs.some((v) => v?.isInitializer === true && test(v.name)));
      if (!found.length) {
        const names = all.flatMap((n) => [n.name, ...n.outputs.map((o) => o.name)]).filter(Boolean);
        const near = nearest(f.replace(/^re:/, ''), names);
        fail('RECIPE_UNKNOWN_NAME', `"${f}" names no node or tensor of the model`, {}, near ? `did you mean "${near}"?` : `the model has nodes such as "${all[0] ? label(all[0]) : ''}"`);
      }
    } else if ('opType' in f) {
      text = `opType ${f.opType}`;
      found = all.filter((n) => n.op === f.opType);
      if (!found.length) {
        const near = nearest(f.opType, new Set(all.map((n) => n.op)));
        fail('RECIPE_UNKNOWN_NAME', `the model has no op of type "${f.opType}"`, {}, near ? `did you mean "${near}"?` : undefined);
      }
    } else {
      text = f.position;
      const n = f.position === 'first' ? computeNodes[0] : computeNodes[computeNodes.length - 1];
      found = n ? [n] : [];
    }
    for (const n of found) if (!chosen.has(n)) chosen.set(n, text);
  }
  return chosen;
}
