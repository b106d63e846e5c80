/** The commands of `quantize store`. */
import type { Command } from 'commander';
import type * as StoreCommands from './commands/store.js';
import type { StoreFlags } from './commands/store.js';
import type { Job } from './context.js';

/** Adds them to the program, and gives the command that holds them. */
export function addStore(program: Command, choose: (job: Job) => void): Command {
  const store = program
    .command('store')
    .description('keeps versions of models, their gates, and which of them is in production')
    .usage('<command>');
  const onStore = (command: Command): Command =>
    command
      .option('--store <folder>', 'the folder of the store', 'quantbench-store')
      .option('--json', 'prints JSON on stdout')
      .option('--debug', 'shows stack traces');
  const withStore = (work: (c: typeof StoreCommands) => Job): void => {
    choose(async (c) => work(await import('./commands/store.js'))(c));
  };
  onStore(
    store
      .command('add')
      .description('adds a run, or a model, as a new version')
      .argument('<run-or-model>', 'the output folder (or run.json) of a run, or an ONNX file')
      .requiredOption('-n, --name <name>', 'name of the model in the store'),
  ).action((target: string, options: StoreFlags & { readonly name: string }) =>
    withStore((s) => s.add(target, options)),
  );
  onStore(store.command('list').description('lists every version with its stage and gate')).action(
    (options: StoreFlags) => withStore((s) => s.list(options)),
  );
  onStore(
    store
      .command('show')
      .description('shows a version: files, gate, results')
      .argument('<name[@version]>', 'the version in production, or NAME@3, NAME@canary, NAME@latest'),
  ).action((reference: string, options: StoreFlags) => withStore((s) => s.show(reference, options)));
  onStore(
    store
      .command('get')
      .description('copies the files of a version into a folder')
      .argument('<name[@version]>')
      .requiredOption('-o, --out <folder>', 'where to'),
  ).action((reference: string, options: StoreFlags & { readonly out: string }) =>
    withStore((s) => s.get(reference, options)),
  );
  onStore(
    store
      .command('promote')
      .description('moves a version one stage up, if its gate passed')
      .argument('<name[@version]>')
      .requiredOption('--to <stage>', 'canary or production')
      .option('--force', 'overrides the rules; the log records it'),
  ).action((reference: string, options: StoreFlags & { readonly to: string; readonly force?: true }) =>
    withStore((s) => s.promote(reference, options)),
  );
  onStore(
    store
      .command('rollback')
      .description('puts the version back into production that was there before')
      .argument('<name>'),
  ).action((name: string, options: StoreFlags) => withStore((s) => s.rollback(name, options)));
  onStore(
    store
      .command('diff')
      .description('shows what differs between two versions')
      .argument('<name@a>')
      .argument('<name@b>'),
  ).action((a: string, b: string, options: StoreFlags) => withStore((s) => s.diff(a, b, options)));
  onStore(store.command('verify').description('checks the log and every stored file')).action((options: StoreFlags) =>
    withStore((s) => s.verify(options)),
  );
  return store;
}
