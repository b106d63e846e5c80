/** The commands about runtimes: what they are, what fits them, files for them, and whether those work there. */
import type { Command } from 'commander';
import type { ConvertFlags } from './commands/convert.js';
import type { TargetsFlags } from './commands/targets.js';
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
}

const repeated = (text: string, all: string[] | undefined): string[] => [...(all ?? []), text];
