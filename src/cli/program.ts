/** The commands and their flags. Each loads its work when it is chosen. */
import { Command } from 'commander';
import { version } from '../base/version.js';
import type { RunFlags } from './commands/run.js';
import type { InspectFlags } from './commands/inspect.js';
import type { CompareFlags } from './commands/compare.js';
import type { ExplainFlags } from './commands/explain.js';
import type { AutoFlags } from './commands/auto.js';
import type { TrainFlags } from './commands/train.js';
import type { OptimizeFlags } from './commands/optimize.js';
import type { EvaluateFlags } from './commands/evaluate.js';
import type { BenchFlags } from './commands/bench.js';
import type { GateFlags } from './commands/gate.js';
import type { CostFlags } from './commands/cost.js';
import type { GroupsFlags } from './commands/groups.js';
import type { Job } from './context.js';
import { addRuntimes } from './runtimes-program.js';
import { addStore } from './store-program.js';
import type { Terminal } from './terminal.js';

const EXIT_CODES = `
Exit codes: 0 done, gate passed · 1 gate failed · 2 wrong command line or recipe · 3 bad model or data, collapsed result,
refused promotion, or output that cannot be written · 4 a bug in quantbench · 5 gate undecided: too few samples or runs to
tell · 130 interrupted`;
const EXAMPLES = `
Examples:
  quantize --recipe recipes/int8-kl.yaml
  quantize --recipe r.yaml --model m.onnx --calibration-data images/ --out reports/m
  quantize --recipe r.yaml --set quantize.activations.observer=percentile --json
  quantize init m.onnx --data images/ --out r.yaml
  quantize inspect reports/int8-kl --point input
  quantize auto --recipe recipes/int8-kl.yaml --max-accuracy-drop 0.5% --out reports/auto
  quantize gate reports/int8-kl --max-accuracy-drop 0.5% --max-latency-ratio 0.8`;

/** Collects the values of an option that may be given several times. */
const repeated = (text: string, all: string[] | undefined): string[] => [...(all ?? []), text];

/** The command line; `choose` gets the job of the command that is named. What commander prints goes to the terminal. */
export function createProgram(terminal: Terminal, choose: (job: Job) => void): Command {
  const program = new Command('quantize')
    .enablePositionalOptions()
    .description('Quantizes an ONNX model as a recipe says, checks the result in onnxruntime and reports what it cost.')
    .version(`quantbench ${version}`, '-V, --version', 'prints the version')
    .helpOption('-h, --help', 'prints this help')
    .helpCommand(false)
    .addHelpText('after', `${EXAMPLES}\n${EXIT_CODES}`);
  const quantize = (command: Command): Command =>
    command
      .option('-r, --recipe <file>', 'the recipe (YAML)')
      .option('-m, --model <file>', "float ONNX model, instead of the recipe's")
      .option('-c, --calibration-data <path>', "calibration data, instead of the recipe's; preprocessing stays")
      .option('-e, --evaluation-data <path>', "evaluation data, instead of the recipe's")
      .option('-o, --out <folder>', 'where the model and the reports go (default: reports/<name of the recipe>)')
      .option('-t, --target <runtime>', 'the runtime that the model will ship to')
      .option('--targets <names>', 'several, separated by commas: each gets a folder of its own, from one calibration')
      .option('-s, --set <key=value>', 'changes a value of the recipe; may be repeated', repeated)
      .option('--dry-run', 'plans and says what would be quantized and why; measures and writes nothing')
      .option('--json', 'prints run.json on stdout')
      .option('-q, --quiet', 'prints only the paths of the written files')
      .option('--debug', 'shows stack traces')
      .action((options: RunFlags) => {
        choose(async (c) => (await import('./commands/run.js')).run(options, c));
      });
  quantize(program);
  quantize(program.command('run', { hidden: true }).description('the same as no command'));
  program
    .command('inspect')
    .description('shows a model, or what a run decided and measured')
    .argument('<model-or-run>', 'an ONNX file, or the output folder (or run.json) of a run')
    .option('-p, --point <name>', 'one tensor of a run: plan, statistics, scale and zero point')
    .option('--graph', 'the nodes of the model too, in ONNX text form')
    .option('--text', 'nothing but the ONNX text form')
    .option('--json', 'prints JSON on stdout')
    .option('--debug', 'shows stack traces')
    .action((target: string, options: InspectFlags) => {
      choose(async (c) => (await import('./commands/inspect.js')).inspect(target, options, c));
    });
  program
    .command('compare')
    .description('runs recipes, or takes finished runs, of one model and ranks them')
    .argument('<recipe-or-run...>', 'recipes (.yaml; a list in one is a sweep) and output folders of runs')
    .option('-m, --model <file>', "float ONNX model, instead of the recipes'")
    .option('-c, --calibration-data <path>', "calibration data, instead of the recipes'")
    .option('-e, --evaluation-data <path>', "evaluation data, instead of the recipes'")
    .option('-o, --out <folder>', 'where the runs and the comparison go (default: reports/<name>)')
    .option('-n, --name <name>', 'name of the comparison (default: that of the sweep, or compare)')
    .option('-s, --set <key=value>', 'changes a value of every recipe; may be repeated', repeated)
    .option('--max-accuracy-drop <drop>', 'what the run to ship may lose: 0.5%, or 1% relative (default: 1% relative)')
    .option('--max-latency-ratio <ratio>', 'how slow it may be, float = 1')
    .option('--max-size-ratio <ratio>', 'how large it may be, float = 1')
    .option('--fresh', 'runs every recipe again, also where its result is there')
    .option('--json', 'prints compare.json on stdout')
    .option('-q, --quiet', 'prints only the paths of the written files')
    .option('--debug', 'shows stack traces')
    .action((targets: string[], options: CompareFlags) => {
      choose(async (c) => (await import('./commands/compare.js')).compare(targets, options, c));
    });
  program
    .command('explain')
    .description('tells what a recipe does, stage by stage, and why; runs nothing')
    .argument('<recipe>', 'the recipe (YAML)')
    .option('-m, --model <file>', "float ONNX model, instead of the recipe's")
    .option('-s, --set <key=value>', 'changes a value of the recipe; may be repeated', repeated)
    .option('--json', 'prints JSON on stdout')
    .option('--debug', 'shows stack traces')
    .action((file: string, options: ExplainFlags) => {
      choose(async (c) => (await import('./commands/explain.js')).explain(file, options, c));
    });
  program
    .command('auto')
    .description('finds the recipe: the fastest or smallest model whose accuracy drop keeps a limit')
    .argument('[model]', "float ONNX model, instead of the recipe's")
    .option('-r, --recipe <file>', 'gives model, data, preprocessing, metric and what must stay float')
    .option('--max-accuracy-drop <drop>', 'what the model may lose on held-out samples: 0.5%, or 1%relative')
    .option('--max-perplexity-increase <rise>', 'for language models, instead: 1% of that of float, or a number')
    .option('-c, --calibration-data <path>', "calibration data, instead of the recipe's")
    .option('-e, --evaluation-data <path>', "evaluation data, instead of the recipe's")
    .option('-t, --target <runtime>', 'the runtime that the model will ship to')
    .option('--objective <what>', 'latency or size', 'latency')
    .option('--allow <names>', 'what may make the float model smaller first, such as prune,depth,low-rank')
    .option('--time-budget <time>', 'about how long the search may take: 90s, 10m', '10m')
    .option('--proven', 'takes only a drop whose whole interval is within the limit')
    .option('-o, --out <folder>', 'where the model, recipe.yaml and the reports go (default: reports/<name>-auto)')
    .option('-s, --set <key=value>', 'changes a value of the recipe; may be repeated', repeated)
    .option('--json', 'prints run.json on stdout')
    .option('-q, --quiet', 'prints only the paths of the written files')
    .option('--debug', 'shows stack traces')
    .action((model: string | undefined, options: AutoFlags) => {
      choose(async (c) => (await import('./commands/auto.js')).auto(model, options, c));
    });
  program
    .command('optimize')
    .description('makes the graph of a model smaller; outputs stay')
    .argument('<model>', 'an ONNX file, float or quantized')
    .requiredOption('-o, --out <file>', 'where to write the model')
    .option('-l, --level <level>', 'basic, default or aggressive', 'default')
    .option('--explain', 'lists every change, and what nearly matched with the reason why it was left alone')
    .option(
      '-t, --target <runtime>',
      'may also build operators that only this runtime has, at the aggressive level (default: standard ones only)',
    )
    .option('--plugin <file>', 'a module with passes and targets of your own; may be repeated', repeated)
    .option('--passes <names>', 'only these passes, separated by commas')
    .option('--skip <names>', 'all but these passes')
    .option('--json', 'prints JSON on stdout')
    .option('-q, --quiet', 'prints only the paths of the written files')
    .option('--debug', 'shows stack traces')
    .action((file: string, options: OptimizeFlags) => {
      choose(async (c) => (await import('./commands/optimize.js')).optimize(file, options, c));
    });
  program
    .command('train')
    .description('trains a float model, or a student of it, on the CPU and without Python')
    .argument('[model]', 'an ONNX file; default: that of the recipe')
    .option('-r, --recipe <file>', 'a recipe with `train:` or `distill:`; the flags change it')
    .option('-d, --data <path>', 'samples to learn from')
    .option('-e, --evaluation-data <path>', 'samples to score by, which are not learned from')
    .option('--loss <name>', 'such as cross-entropy or mse')
    .option('--optimiser <name>', 'sgd, adam, adamw, lamb, muon or sign-sgd')
    .option('--epochs <n>', 'passes over the samples')
    .option('--steps <n>', 'steps, instead of epochs')
    .option('--batch <n>', 'samples in a batch')
    .option('--rate <x>', 'the highest learning rate')
    .option('--seed <n>', 'of the order of samples, of augmentation and of drawn weights')
    .option('--start <what>', 'model: its weights; random: drawn ones')
    .option('-o, --out <folder>', 'where the model and the report go (default: reports/train-<name of the model>)')
    .option('-s, --set <key=value>', 'changes a value of the recipe; may be repeated', repeated)
    .option('--json', 'prints training.json on stdout')
    .option('-q, --quiet', 'prints only the paths of the written files')
    .option('--debug', 'shows stack traces')
    .action((model: string | undefined, options: TrainFlags) => {
      choose(async (c) => (await import('./commands/train.js')).train(model, options, c));
    });
  program
    .command('evaluate')
    .description('scores models on data as they are; the others against the first')
    .argument('<model...>', 'ONNX files, float or quantized')
    .option('-r, --recipe <file>', 'takes evaluation data, preprocessing and metrics from this recipe')
    .option('-d, --data <path>', 'evaluation data; their kind is guessed without a recipe')
    .option('--metric <name>', 'a metric; may be repeated', repeated)
    .option('--samples <n>', 'most samples to use')
    .option('-s, --set <key=value>', 'changes a value of the recipe; may be repeated', repeated)
    .option('--json', 'prints JSON on stdout')
    .option('-q, --quiet', 'prints no progress')
    .option('--debug', 'shows stack traces')
    .action((files: string[], options: EvaluateFlags) => {
      choose(async (c) => (await import('./commands/evaluate.js')).evaluate(files, options, c));
    });
  program
    .command('bench')
    .description('times models as they are, in turn; the others against the first')
    .argument('<model...>', 'ONNX files, float or quantized')
    .option('--runs <n>', 'counted runs of each', '300')
    .option('--warmup <n>', 'runs before them that are not counted', '10')
    .option('--threads <n>', 'threads of onnxruntime', '1')
    .option('--batch <n>', 'samples per run', '1')
    .option('--input-shape <name=sizes>', 'a shape such as x=1x3x480x480; may be repeated', repeated)
    .option('-r, --recipe <file>', 'takes a real sample from the data of this recipe')
    .option('--json', 'prints JSON on stdout')
    .option('-q, --quiet', 'prints no progress')
    .option('--debug', 'shows stack traces')
    .action((files: string[], options: BenchFlags) => {
      choose(async (c) => (await import('./commands/bench.js')).bench(files, options, c));
    });
  program
    .command('gate')
    .description('judges a run by limits: exit code 0 pass, 1 fail, 5 undecided')
    .argument('<run>', 'the output folder (or run.json) of a run')
    .option('-b, --baseline <run>', 'compares with the quantized model of this run, not with the float model')
    .option(
      '--max-accuracy-drop <limit>',
      'such as 0.5% or 0.5points, 1%relative, or a number for metrics that are not in %',
    )
    .option('--max-perplexity-increase <rise>', 'of a language model: 1% of that of float, or a number')
    .option('--max-latency-ratio <limit>', 'quantized ÷ float, such as 0.8')
    .option('--max-size-ratio <limit>', 'quantized ÷ float, such as 0.3')
    .option('--confidence <share>', 'of the intervals (default: 95%)')
    .option('--metric <name>', 'which metric may drop (default: the first of the run)')
    .option('--plugin <file>', 'a module whose gates the recipe of the run names; may be repeated', repeated)
    .option('--save', 'puts the verdict into run.json, where `store promote` looks for it')
    .option('--junit <file>', 'writes JUnit XML')
    .option('--markdown <file>', 'writes a summary in Markdown')
    .option('--json', 'prints JSON on stdout')
    .option('-q, --quiet', 'prints the verdict only')
    .option('--debug', 'shows stack traces')
    .action((target: string, options: GateFlags) => {
      choose(async (c) => (await import('./commands/gate.js')).gate(target, options, c));
    });
  program
    .command('cost')
    .description('what a model costs, node by node: arithmetic, parameters, memory traffic, peak activations')
    .argument('<model>', 'an ONNX file')
    .option('--input-shape <name=sizes>', 'a shape such as x=1x3x224x224; may be repeated', repeated)
    .option('--device <device>', 'adds a roofline estimate: cpu (measured), or PEAK_FLOPS,BANDWIDTH such as 1e12,2e10')
    .option('--threads <n>', 'threads of --device cpu', '1')
    .option('--picture <file.svg>', 'draws the roofline')
    .option('--top <n>', 'how many nodes the table shows', '30')
    .option('--json', 'prints JSON on stdout')
    .option('--debug', 'shows stack traces')
    .action((file: string, options: CostFlags) => {
      choose(async (c) => (await import('./commands/cost.js')).cost(file, options, c));
    });
  program
    .command('groups')
    .description('which channels go together, how much they matter, and what the model saves without some of them')
    .argument('<model>', 'an ONNX file')
    .option('-i, --importance <name>', 'the measure, as in `compress` of recipes', 'l1')
    .option('--share <share>', 'the least important of each group whose saving is told', '0.5')
    .option('-r, --recipe <file>', 'gives calibration samples to measures that look at some, and plug-ins')
    .option('--latency', 'measures what each group saves in onnxruntime, all in turn')
    .option('--runs <n>', 'measured runs of each model for --latency', '100')
    .option('--threads <n>', 'threads for --latency', '1')
    .option('--scan <shares>', 'what outputs change without shares of each group, such as 0.25,0.5 (with --recipe)')
    .option('--tensors', 'lists the tensors and constants of each group too')
    .option('--json', 'prints JSON on stdout')
    .option('--debug', 'shows stack traces')
    .action((file: string, options: GroupsFlags) => {
      choose(async (c) => (await import('./commands/groups.js')).groups(file, options, c));
    });
  program
    .command('card')
    .description('writes the model card of a run (Hugging Face form)')
    .argument('<run>', 'the output folder (or run.json) of a run')
    .option('-o, --out <file>', 'where to (default: stdout)')
    .option('--debug', 'shows stack traces')
    .action((target: string, options: { readonly out?: string }) => {
      choose(async (c) => (await import('./commands/card.js')).card(target, options, c));
    });
  program
    .command('init')
    .description('writes a first recipe for a model')
    .argument('<model>', 'the float ONNX model')
    .option('-d, --data <path>', 'calibration data: their kind is guessed')
    .option('-o, --out <file>', 'where to write the recipe (default: stdout)')
    .option('--debug', 'shows stack traces')
    .action((model: string, options: { readonly data?: string; readonly out?: string }) => {
      choose(async (c) => (await import('./commands/init.js')).init(model, options, c));
    });
  program
    .command('doctor')
    .description('checks that this machine can do the job')
    .option('--json', 'prints JSON on stdout')
    .option('--debug', 'shows stack traces')
    .action((options: { readonly json?: true }) => {
      choose(async (c) => (await import('./commands/doctor.js')).doctor(options, c));
    });
  addRuntimes(program, choose);
  const store = addStore(program, choose);
  for (const command of [program, ...program.commands, ...store.commands]) {
    command
      .exitOverride()
      .allowExcessArguments(false)
      .configureOutput({
        writeOut: (text) => terminal.data(text),
        writeErr: () => undefined,
        outputError: () => undefined,
      });
  }
  return program;
}
