/** `quantize cost`: multiply-accumulates, parameters, memory traffic, peak activations and a roofline, node by node. */
import { item } from '../../base/lists.js';
import path from 'node:path';
import { writeFileAtomic } from '../../base/files.js';
import { fail } from '../../base/errors.js';
import { refuseOverwriting } from '../../base/outputs.js';
import { bytesText, countText, oneLine } from '../../base/text.js';
import { memoryPlan } from '../../cost/memory.js';
import { modelCost, sized } from '../../cost/nodes.js';
import { intensityOf, roofline, type Device } from '../../cost/roofline.js';
import { inlineFunctions } from '../../ir/inline.js';
import { loadModel } from '../../onnx/files.js';
import { dataFiles } from '../../pipeline/sources.js';
import type { CommandContext } from '../context.js';
import { shapesOf } from '../shapes.js';
import { table } from '../layout.js';

export interface CostFlags {
  readonly inputShape?: readonly string[];
  readonly device?: string;
  readonly threads: string;
  readonly top: string;
  readonly picture?: string;
  readonly json?: true;
}

/** Throws MODEL_*, USAGE; gives exit code 0. */
export async function cost(file: string, flags: CostFlags, { terminal }: CommandContext): Promise<number> {
  const model = loadModel(file);
  if (flags.picture !== undefined) refuseOverwriting([flags.picture], [file, ...dataFiles(model)]);
  inlineFunctions(model);
  const shapes = shapesOf(
    flags.inputShape ?? [],
    model.graph.inputs.filter((v) => !v.data).map((v) => v.name),
  );
  const inferred = sized(model, shapes);
  const total = modelCost(inferred);
  const memory = memoryPlan(inferred);
  const device =
    flags.device === undefined ? undefined : await deviceOf(flags.device, wholeNumber('--threads', flags.threads));
  const roof = device && roofline(total, device);
  if (flags.picture !== undefined) {
    const { renderRoofline } = await import('../../report/roofline.js');
    writeFileAtomic(
      flags.picture,
      renderRoofline(
        path.basename(file),
        total,
        roof ??
          fail('USAGE', '--picture draws a roofline, which needs a device', {}, '--device cpu, or --device 1e12,2e10'),
      ),
    );
  }
  if (flags.json) {
    terminal.data(`${JSON.stringify({ file, ...total, memory, ...(roof ? { roofline: roof } : {}) }, null, 1)}\n`);
    return 0;
  }
  const guessed = total.nodes.filter((n) => n.guessed);
  const rows = [...total.nodes.keys()]
    .sort((a, b) =>
      roof
        ? item(roof.nodes, b).seconds - item(roof.nodes, a).seconds
        : item(total.nodes, b).flops * item(total.nodes, b).times -
          item(total.nodes, a).flops * item(total.nodes, a).times,
    )
    .slice(0, wholeNumber('--top', flags.top))
    .map((i) => {
      const n = item(total.nodes, i); // positions of the list
      const r = roof?.nodes[i];
      return [
        n.name.length > 60 ? `…${n.name.slice(-59)}` : n.name,
        n.op,
        n.times > 1 ? `${n.times} ×` : '',
        countText(n.macs),
        countText(n.flops),
        countText(n.parameters),
        bytesText(n.readBytes),
        bytesText(n.writeBytes),
        intensityOf(n).toFixed(1),
        ...(r ? [`${(1e6 * r.seconds).toFixed(1)} µs`, r.boundBy] : []),
      ];
    });
  const lines = [
    ...table(
      [
        [
          'node',
          'op',
          '',
          'MACs',
          'FLOPs',
          'parameters',
          'reads',
          'writes',
          'FLOPs/byte',
          ...(roof ? ['at least', 'bound by'] : []),
        ],
        ...rows,
      ],
      [3, 4, 5, 6, 7, 8, 9],
    ),
    '',
    `${Object.entries(total.inputShapes)
      .map(([name, s]) => `${oneLine(name)} [${s.join(', ')}]`)
      .join(', ')}`,
    `${countText(total.macs)} MACs, ${countText(total.flops)} FLOPs, ${countText(total.parameters)} parameters ` +
      `(${bytesText(total.parameterBytes)}), ${bytesText(total.readBytes)} read and ` +
      `${bytesText(total.writeBytes)} written`,
    `peak activations ${bytesText(memory.peakBytes)} at ${oneLine(memory.peakNode)}; one arena with shared ` +
      `buffers takes ${bytesText(memory.arenaBytes)}`,
    ...(roof
      ? [
          `at least ${(1000 * roof.seconds).toFixed(3)} ms on ${roof.device.name} ` +
            `(${(roof.device.flopsPerSecond / 1e9).toFixed(1)} GFLOP/s, ` +
            `${(roof.device.bytesPerSecond / 1e9).toFixed(1)} GB/s)`,
        ]
      : []),
    ...(guessed.length
      ? [
          `sizes that are not known were counted as 1, in ${guessed.length} nodes such as ` +
            `${oneLine(item(guessed, 0).name)}: give them with --input-shape NAME=1x3x224x224`,
        ]
      : []),
    ...(total.unknownOps.length
      ? [`the work of ${oneLine(total.unknownOps.join(', '))} is not known and counts as 0`]
      : []),
  ];
  terminal.data(`${lines.join('\n')}\n`);
  return 0;
}

async function deviceOf(text: string, threads: number): Promise<Device> {
  if (text === 'cpu') return (await import('../../standalone/device.js')).measureCpu(threads);
  const numbers = text.split(',').map(Number);
  const [flops = NaN, bytes = NaN] = numbers;
  if (numbers.length !== 2 || !(flops > 0 && bytes > 0))
    fail(
      'USAGE',
      `"${text}" is not a device`,
      {},
      '--device cpu measures this one; else peak FLOP/s and bytes/s, such as --device 1e12,2e10',
    );
  return { name: text, flopsPerSecond: flops, bytesPerSecond: bytes };
}

function wholeNumber(flag: string, text: string): number {
  const n = Number(text);
  return Number.isInteger(n) && n >= 1 && n <= 1e6
    ? n
    : fail('USAGE', `${flag} is "${text}"; it must be a whole number from 1 on`);
}
