/** `quantize lint`: a quantized model held against the rules of a runtime. */
import { loadPlugins } from '../../recipe/plugins.js';
import type { CommandContext } from '../context.js';
import { findTarget } from '../find-target.js';
import { table } from '../layout.js';

export interface LintFlags {
  readonly target: string;
  readonly plugin?: readonly string[];
  readonly strict?: true;
  readonly json?: true;
  readonly quiet?: true;
}

/** Throws MODEL_*, USAGE, RECIPE_PLUGIN; gives exit code 1 where the runtime refuses the model, else 0. */
export async function lint(file: string, flags: LintFlags, { terminal }: CommandContext): Promise<number> {
  const { targets } = await loadPlugins(flags.plugin ?? []);
  const target = findTarget(flags.target, targets);
  const [{ lintModel }, { loadModel }, { inferShapes }] = await Promise.all([
    import('../../lint/index.js'),
    import('../../onnx/files.js'),
    import('../../ops/infer.js'),
  ]);
  const model = loadModel(file);
  inferShapes(model);
  const found = lintModel(model, target);
  const errors = found.filter((f) => f.severity === 'error').length;
  if (flags.json) terminal.data(`${JSON.stringify({ file, target: target.name, findings: found }, null, 1)}\n`);
  else {
    const rows = found.map((f) => [f.severity, f.rule, `${f.node} (${f.op})`, `${f.message}. ${f.fix}. ${f.source}`]);
    if (!flags.quiet)
      terminal.data(
        table(rows, [], { columns: terminal.dataColumns })
          .map((l) => `${l}\n`)
          .join(''),
      );
    const warnings = found.length - errors;
    terminal.data(
      found.length
        ? `${errors} errors, ${warnings} warnings: ${errors ? `${target.name} refuses this model` : `${target.name} takes it, and runs parts of it in float`}\n`
        : `nothing found: the model keeps the rules of ${target.name} that are known here\n`,
    );
  }
  return errors || (flags.strict && found.length) ? 1 : 0;
}
