import type { Node } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import type { TargetProfile } from '../scheme/profile.js';
import type { Pair } from './pairs.js';

/** Something in a model that a runtime refuses (error), or that keeps it from its integer kernels (warning). */
export interface Finding {
  readonly rule: string;
  readonly severity: 'error' | 'warning';
  readonly node: string;
  readonly op: string;
  readonly message: string;
  /** What would be right. */
  readonly fix: string;
  readonly source: string;
}

/** What rules look at. */
export interface LintContext {
  readonly model: Model;
  readonly target: TargetProfile;
  /** Nodes of the main graph in order. */
  readonly nodes: readonly Node[];
  /** QuantizeLinear and DequantizeLinear nodes, read. */
  readonly pairs: readonly Pair[];
  readonly pairOf: ReadonlyMap<Node, Pair>;
}

export interface Breach {
  readonly node: Node;
  readonly message: string;
  readonly fix: string;
}

/** A rule of runtimes. A new one is a file with an entry in the list. */
export interface LintRule {
  readonly name: string;
  readonly doc: string;
  readonly severity: Finding['severity'];
  /** Whether a runtime has this rule: its profile tells. */
  readonly applies: (target: TargetProfile) => boolean;
  readonly check: (context: LintContext) => Iterable<Breach>;
}
