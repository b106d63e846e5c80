/** What is wrong with a command line, and what was probably meant. */
import type { Command, CommanderError } from 'commander';
import { nearest, QuantError } from '../base/errors.js';

/** The error to show for one of commander's. */
export function complaintAbout(error: CommanderError, program: Command, argv: readonly string[]): QuantError {
  const store = program.commands.find((c) => c.name() === 'store');
  if (error.code === 'commander.help')
    return new QuantError(
      'USAGE',
      `quantize store needs a command: ${(store?.commands ?? [])
        .map((c) => c.name())
        .join(', ')
        .replace(/, (\w+)$/, ' or $1')}`,
      { hint: '`quantize store --help` tells what they do' },
    );
  const stray = argv[0];
  if (
    error.code === 'commander.excessArguments' &&
    stray !== undefined &&
    !stray.startsWith('-') &&
    !program.commands.some((c) => c.name() === stray)
  ) {
    if (/\.(onnx|ort)$/i.test(stray)) {
      const withRecipe = argv.includes('-r') || argv.includes('--recipe');
      const ways =
        `quantize init ${stray} --data FOLDER --out recipe.yaml writes a first recipe; quantize --recipe R ` +
        `--model ${stray} quantizes by a recipe; quantize auto ${stray} finds one; quantize inspect ${stray} ` +
        'shows it';
      return new QuantError('USAGE', `"${stray}" is a model, and no command says what to do with it`, {
        hint: withRecipe ? `give it as --model ${stray}` : ways,
      });
    }
    const near = nearest(
      stray,
      program.commands.map((c) => c.name()),
    );
    return new QuantError('USAGE', `"${stray}" is not a command.${near ? ` Did you mean "${near}"?` : ''}`, {
      hint: /\.ya?ml$/i.test(stray) ? `quantize --recipe ${stray}` : '`quantize --help` lists commands and options',
    });
  }
  return new QuantError('USAGE', error.message.replace(/^error: /, '').replace(/\n/g, ' '), {
    hint: '`quantize --help` lists commands and options',
  });
}
