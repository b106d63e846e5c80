/** `quantize doctor`: whether this machine can do the job, and what its CPU makes of integers. */
import { item } from '../../base/lists.js';
import { existsSync } from 'node:fs';
import { bytesText } from '../../base/text.js';
import { parseModel } from '../../ir/text/parse.js';
import { cpuFeatures, environment, u8s8Saturates, type EnvironmentFacts } from '../../runtime/environment.js';
import { openModel } from '../../runtime/open.js';
import type { CommandContext } from '../context.js';
import { table } from '../layout.js';
import { paint } from '../terminal.js';

interface Check {
  readonly name: string;
  readonly state: 'ok' | 'note' | 'failed';
  readonly text: string;
}

/** Exit code 0 where a quantization can run here, 3 where it cannot. */
export async function doctor(flags: { readonly json?: true }, { terminal }: CommandContext): Promise<number> {
  const checks: Check[] = [];
  const attempt = async (name: string, needed: boolean, run: () => Promise<string> | string): Promise<void> => {
    try {
      checks.push({ name, state: 'ok', text: await run() });
    } catch (error) {
      checks.push({
        name,
        state: needed ? 'failed' : 'note',
        text: error instanceof Error ? item(error.message.split('\n'), 0) : String(error),
      });
    } // split gives at least one piece
  };
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const recent = major > 20 || (major === 20 && minor >= 19);
  checks.push({
    name: 'Node.js',
    state: recent ? 'ok' : 'failed',
    text: `${process.versions.node}${recent ? '' : '; 20.19 or newer is needed'}`,
  });
  let env: EnvironmentFacts | undefined;
  await attempt('onnxruntime', true, () => {
    env = environment();
    return env.onnxruntime;
  });
  await attempt('int8 convolution', true, runTinyConv);
  await attempt('images', false, async () => {
    const sharp = (await import('sharp')).default;
    return `sharp ${sharp.versions.sharp}, libvips ${sharp.versions.vips}`;
  });
  await attempt('texts', false, async () => {
    await import('@huggingface/tokenizers');
    return 'tokenizers';
  });
  await attempt('kernels', false, () =>
    existsSync(new URL('../../kernels.wasm', import.meta.url))
      ? 'WebAssembly'
      : 'JavaScript only; `npm run build` makes the faster ones',
  );
  const features = env?.cpuFeatures ?? cpuFeatures();
  checks.push({
    name: 'CPU',
    state: 'ok',
    text: `${env?.cpu ?? 'unknown'}, ${env?.cores ?? '?'} cores, ${process.arch}`,
  });
  checks.push({
    name: 'instructions',
    state: features.length ? 'ok' : 'note',
    text: features.join(', ') || 'the system does not tell',
  });
  const saturates = u8s8Saturates({ arch: process.arch, cpuFeatures: features });
  checks.push({
    name: 'uint8 × int8',
    state: saturates ? 'note' : 'ok',
    text:
      saturates === undefined
        ? 'unknown'
        : saturates
          ? 'no VNNI: products saturate in models whose weights allow it (quantize.weights.saturation: safe, the ' +
            'default, does not)'
          : 'exact on this CPU',
  });
  checks.push({ name: 'memory', state: 'ok', text: env ? bytesText(env.memoryBytes) : 'unknown' });
  const ready = checks.every((c) => c.state !== 'failed');
  if (flags.json)
    terminal.data(
      `${JSON.stringify({ ready, environment: env ?? null, u8s8Saturates: saturates ?? null, checks }, null, 1)}\n`,
    );
  else {
    const p = paint(terminal);
    const mark = { ok: p.green('ok    '), note: p.yellow('note  '), failed: p.red('FAILED') };
    const lines = table(checks.map((c) => [c.name, c.text]));
    terminal.data(
      `${checks.map((c, i) => `${mark[c.state]}  ${lines[i] ?? ''}`).join('\n')}\n\n` +
        `${ready ? 'ready to quantize' : 'this machine cannot quantize yet: see what FAILED'}\n`,
    );
  }
  return ready ? 0 : 3;
}

/** Loads and runs a 1×1 QLinearConv whose result is known: 3 × 2 = 6. */
async function runTinyConv(): Promise<string> {
  const model = parseModel(`<ir_version: 8, opset_import: ["" : 13]>
    tiny (uint8[1,1,1,1] x) => (uint8[1,1,1,1] y) <float s = {1.0}, uint8 z = {0}, int8[1,1,1,1] w = {2}, int8 wz = {0}> {
      y = QLinearConv (x, s, z, w, s, wz, s, z)
    }`);
  const session = await openModel(model, { label: 'a tiny int8 convolution' });
  try {
    const { y } = await session.run({ x: { dtype: 'uint8', dims: [1, 1, 1, 1], data: new Uint8Array([3]) } });
    if (Number(y?.data[0]) !== 6) throw new Error(`onnxruntime computes 3 × 2 = ${String(y?.data[0])}`);
    return 'runs and is right';
  } finally {
    await session.close();
  }
}
