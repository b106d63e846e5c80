/** A quantized ONNX model held against the rules of a runtime. */
import { label } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import type { TargetProfile } from '../scheme/profile.js';
import { pairOf } from './pairs.js';
import { rules } from './rules/index.js';
import type { Finding, LintContext, LintRule } from './types.js';

export { rules };
export type { Finding, LintRule };

/** The findings, errors first, each kind in the order of the nodes. Pure. */
export function lintModel(model: Model, target: TargetProfile): Finding[] {
  const nodes = model.graph.topological();
  const pairs = nodes.flatMap((n) => pairOf(n) ?? []);
  const context: LintContext = { model, target, nodes, pairs, pairOf: new Map(pairs.map((p) => [p.node, p])) };
  const found = rules
    .filter((r) => r.applies(target))
    .flatMap((r) =>
      [...r.check(context)].map(({ node, message, fix }): Finding => ({
        rule: r.name,
        severity: r.severity,
        node: label(node),
        op: node.op,
        message,
        fix,
        source: sourceOf(target, r.name),
      })),
    );
  return [...found.filter((f) => f.severity === 'error'), ...found.filter((f) => f.severity === 'warning')];
}

/** Where the runtime says so: the quirk that names the rule, else the source of the profile. */
const sourceOf = ({ quirks, source }: TargetProfile, rule: string): string =>
  quirks.find((q) => q.rules?.includes(rule))?.source ?? source;
