/** What a search may do to the float model before it is quantized: compressions that a user allows. */
import { fail, nearest } from '../base/errors.js';
import { compressions } from '../compress/index.js';
import type { Compression } from '../compress/types.js';
import type { Recipe } from '../recipe/schema.js';
import type { Candidate, Objective } from './candidates.js';

/** The compressions of the names, in their order. Throws USAGE for one that a search cannot try. */
export function allowedOf(names: readonly string[]): Compression[] {
  const able = compressions.filter((c) => c.leaving);
  return [...new Set(names)].map((name) => {
    const near = nearest(
      name,
      able.map((c) => c.name),
    );
    return (
      able.find((c) => c.name === name) ??
      fail(
        'USAGE',
        `a search can allow no "${name}"`,
        {},
        `${near ? `did you mean ${near}? ` : ''}--allow takes ${able.map((c) => c.name).join(', ')}`,
      )
    );
  });
}

/** The same recipe for a model that has this share of the work, or of the bytes, left. */
export function smaller(
  of: Candidate,
  base: Pick<Recipe, 'compress'>,
  { name, leaving, doc }: Compression,
  share: number,
  objective: Objective,
): Candidate {
  const step = { name, ...leaving?.(share, objective) };
  return {
    ...of,
    label: `${name} to ${share} × + ${of.label}`,
    why: doc.charAt(0).toLowerCase() + doc.slice(1).replace(/\.$/, ''),
    compress: [...(of.compress ?? base.compress), step],
  };
}

/** Shares that are tried while the limit is kept. */
const FALLING = [0.8, 0.65, 0.5, 0.35, 0.25];
/** How often the gap between the least share that kept it and the first that did not is halved. */
const HALVINGS = 2;

/** Which share is tried next. */
export class Shares {
  #kept = 1;
  #missed: number | undefined;
  #last = 1;
  #halvings = 0;

  /** Undefined where enough was tried. */
  next(): number | undefined {
    if (this.#missed === undefined) return (this.#last = FALLING.find((s) => s < this.#kept) ?? 0) || undefined;
    if (this.#halvings++ >= HALVINGS) return undefined;
    return (this.#last = Number(((this.#kept + this.#missed) / 2).toFixed(2)));
  }
  told(within: boolean): void {
    if (within) this.#kept = this.#last;
    else this.#missed = this.#last;
  }
}
