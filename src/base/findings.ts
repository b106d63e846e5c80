/** Findings that are alike, folded into one: for the terminal and the reports. */

/** Places of findings that are named where the rest is kept back. */
const NAMED_PLACES = 3;

/** A finding as a run tells it, or as its record holds it. */
export interface Finding {
  readonly severity: 'error' | 'warning' | 'note';
  readonly code: string;
  readonly message: string;
  readonly where?:
    | {
        readonly file?: string | undefined;
        readonly line?: number | undefined;
        readonly column?: number | undefined;
        readonly node?: string | undefined;
        readonly tensor?: string | undefined;
        readonly sample?: string | undefined;
      }
    | undefined;
  readonly hint?: string | undefined;
}
/** A finding, and how many more were like it. */
export interface Folded {
  readonly first: Finding;
  /** Like the first, beyond those that are shown. */ readonly more: number;
  /** Where the first few of those are. */ readonly places: readonly string[];
}

/** Takes findings as they come, and keeps back what is like those that were shown. */
export class Alike {
  readonly #shown: number;
  readonly #kinds = new Map<string, { readonly first: Finding; seen: number; readonly places: string[] }>();

  /** `shown`: how many of a kind are shown one by one. */
  constructor(shown: number) {
    this.#shown = shown;
  }

  /** Whether the finding is to be shown. */
  add(d: Finding): boolean {
    const key = kindOf(d);
    const kind = this.#kinds.get(key) ?? { first: d, seen: 0, places: [] };
    this.#kinds.set(key, kind);
    if (++kind.seen <= this.#shown) return true;
    const place = placeOfFinding(d);
    if (place && kind.places.length < NAMED_PLACES) kind.places.push(place);
    return false;
  }

  /** Each kind in the order of its first finding. */
  kinds(): Folded[] {
    return [...this.#kinds.values()].map(({ first, seen, places }) => ({
      first,
      more: Math.max(0, seen - this.#shown),
      places: [...places],
    }));
  }

  /** Begins anew. */
  clear(): void {
    this.#kinds.clear();
  }
}

const SEVERITIES = { error: 0, warning: 1, note: 2 } as const;

/** One of each kind, the worst first. */
export function fold(all: readonly Finding[]): Folded[] {
  const alike = new Alike(1);
  for (const d of all) alike.add(d);
  return alike.kinds().sort((a, b) => SEVERITIES[a.first.severity] - SEVERITIES[b.first.severity]);
}

/** Such as `and 12 more like it: a.png, b.png, c.png, …`; empty where there are no more. */
export function moreText({ more, places }: Folded): string {
  if (!more) return '';
  return `and ${more} more like it${places.length ? `: ${places.join(', ')}${more > places.length ? ', …' : ''}` : ''}`;
}

/** Where a finding is, in a word; empty where it does not say. */
export const placeOfFinding = ({ where }: Finding): string =>
  where ? where.sample || placeOf(where) || where.node || where.tensor || '' : '';

/** Such as `recipe.yaml:9:15`; empty where no file is told. */
export function placeOf(where: NonNullable<Finding['where']>): string {
  if (where.file === undefined) return '';
  return [where.file, where.line, where.line === undefined ? undefined : where.column]
    .filter((p) => p !== undefined)
    .join(':');
}

/** Findings are alike where they differ in names and numbers only. */
const kindOf = ({ code, severity, message }: Finding): string =>
  `${severity} ${code} ${message.replace(/'[^']*'|"[^"]*"|\d+(?:\.\d+)?/g, '')}`.slice(0, 300);
