/** The commands about runtimes: what they are, what fits them, files for them, and whether those work there. */
import type { Command } from 'commander';
import type { ConvertFlags } from './commands/convert.js';
import type { LayoutFlags } from './commands/layout.js';
import type { LintFlags } from './commands/lint.js';
import type { TargetsFlags } from './commands/targets.js';
import type { VerifyFlags } from './commands/verify.js';
import type { Job } from './context.js';

/** Adds them to the program. */
export function addRuntimes(program: Command, choose: (job: Job) => void): void {
  program
    .command('targets')
    .description('lists the runtimes that models can be written for, or tells all that is known of one')
    .argument('[name]', 'a runtime')
    .option('--plugin <file>', 'a module with targets of your own; may be repeated', repeated)
    .option('--json', 'prints JSON on stdout')
    .option('--debug', 'shows stack traces')
    .action((name: string | undefined, options: TargetsFlags) => {
      choose(async (c) => (await import('./commands/targets.js')).targets(name, options, c));
    });
  program
    .command('convert')
    .description('writes a float model for a runtime, without quantization')
    .argument('<model>', 'float ONNX model')
    .requiredOption('-t, --target <runtime>', 'the runtime that will load it')
    .option('-p, --precision <type>', 'float32, or float16 for weights of half the size', 'float32')
    .option('-r, --recipe <file>', 'gives a sample, whose sizes inputs of open sizes get')
    .option('--input-shape <name=sizes>', 'sizes of an input, such as x=1x3x224x224; may be repeated', repeated)
    .option('-o, --out <folder>', 'where the files go (default: reports/<model>-<runtime>)')
    .option('--json', 'prints JSON on stdout')
    .option('-q, --quiet', 'prints only the paths of the written files')
    .option('--debug', 'shows stack traces')
    .action((model: string, options: ConvertFlags) => {
      choose(async (c) => (await import('./commands/convert.js')).convert(model, options, c));
    });
  program
    .command('layout')
    .description('writes runs as the folder that transformers.js, onnxruntime-genai or the Hugging Face hub wants')
    .argument('<run...>', 'the output folders of runs: one for each type of weights')
    .requiredOption('--as <layout>', 'huggingface, transformers.js or onnxruntime-genai')
    .requiredOption('--from <folder>', 'the folder with config.json and the tokenizer of the float model')
    .requiredOption('-o, --out <folder>', 'where the folder goes')
    .option('--json', 'prints the files as JSON')
    .option('--debug', 'shows stack traces')
    .action((runs: string[], options: LayoutFlags) => {
      choose(async (c) => (await import('./commands/layout.js')).layout(runs, options, c));
    });
  program
    .command('lint')
    .description('holds a quantized ONNX model, whoever made it, against the rules of a runtime')
    .argument('<model>', 'ONNX model')
    .requiredOption('-t, --target <runtime>', 'the runtime that will load it')
    .option('--plugin <file>', 'a module with targets of your own; may be repeated', repeated)
    .option('--strict', 'warnings count as errors')
    .option('--json', 'prints the findings as JSON')
    .option('-q, --quiet', 'prints only the count')
    .option('--debug', 'shows stack traces')
    .action((model: string, options: LintFlags) => {
      choose(async (c) => (await import('./commands/lint.js')).lint(model, options, c));
    });
  program
    .command('verify')
    .description('runs what was written for a runtime in the runtime itself, and puts what it measures into the report')
    .argument('<folder>', 'the folder of a run for a runtime, such as reports/int8-kl/openvino')
    .option('-r, --recipe <file>', 'the recipe of the run, where it is no longer where it was')
    .option('-e, --evaluation-data <path>', "evaluation data, instead of the recipe's")
    .option('--python <file>', 'a Python that has the packages of the runtime')
    .option('--environments <folder>', 'a folder with a virtual environment for each runtime (or QUANTBENCH_RUNTIMES)')
    .option('--samples <n>', 'most samples to evaluate on')
    .option('--threads <n>', 'threads of the runtime', '1')
    .option('--rounds <n>', 'rounds in which both models take turns; 0 measures no latency', '20')
    .option('--json', 'prints what was measured as JSON')
    .option('-q, --quiet', 'prints no progress')
    .option('--debug', 'shows stack traces')
    .action((folder: string, options: VerifyFlags) => {
      choose(async (c) => (await import('./commands/verify.js')).verify(folder, options, c));
    });
}

const repeated = (text: string, all: string[] | undefined): string[] => [...(all ?? []), text];
