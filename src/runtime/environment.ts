/** What of this machine decides integer speed and accuracy. Reads; runs nothing. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { runtimeVersion } from './session.js';

export interface EnvironmentFacts {
  readonly node: string;
  readonly onnxruntime: string;
  readonly platform: string;
  readonly arch: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /**
   * Instruction sets that decide integer speed and accuracy: avx2, avx512f, avx512_vnni, avx_vnni, amx_int8, neon
   * dotprod…
   */
  readonly cpuFeatures: readonly string[];
}

/**
 * Instruction sets that integer kernels of onnxruntime use, as Linux names them, to our names. Linux: /proc/cpuinfo
 * flags; macOS: sysctl keys.
 */
const FEATURES: readonly (readonly [name: string, ...aliases: string[]])[] = [
  ['sse4_1', 'sse4_1', 'sse4.1'],
  ['avx', 'avx', 'avx1.0'],
  ['avx2', 'avx2'],
  ['fma', 'fma'],
  ['avx512f', 'avx512f'],
  ['avx512bw', 'avx512bw'],
  ['avx512_vnni', 'avx512_vnni', 'avx512vnni'],
  ['avx_vnni', 'avx_vnni'],
  ['amx_int8', 'amx_int8'],
  ['neon', 'asimd', 'advsimd'],
  ['dotprod', 'asimddp', 'feat_dotprod'],
  ['i8mm', 'i8mm', 'feat_i8mm'],
  ['sve', 'sve'],
];

/** This machine as a run record describes it; no part needs more than a millisecond on Linux. */
export function environment(): EnvironmentFacts {
  return {
    node: process.versions.node,
    onnxruntime: runtimeVersion(),
    platform: process.platform,
    arch: process.arch,
    cpu: os.cpus()[0]?.model.trim() || 'unknown',
    cores: os.availableParallelism(),
    memoryBytes: memoryBytes(),
    cpuFeatures: cpuFeatures(),
  };
}

/** Instruction sets of the CPU, ours by name; empty where the system does not tell. */
export function cpuFeatures(flags: string = rawFlags()): string[] {
  const seen = new Set(flags.toLowerCase().split(/\s+/));
  return FEATURES.filter(([, ...aliases]) => aliases.some((a) => seen.has(a))).map(([name]) => name);
}

/**
 * Whether uint8 × int8 kernels may saturate: x64 with AVX2 or AVX-512 but without VNNI adds two products in int16
 * (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html). Undefined where the CPU is not
 * known.
 */
export function u8s8Saturates(env: Pick<EnvironmentFacts, 'arch' | 'cpuFeatures'>): boolean | undefined {
  if (env.arch === 'arm64') return false;
  if (env.arch !== 'x64' || !env.cpuFeatures.length) return undefined;
  const has = (f: string): boolean => env.cpuFeatures.includes(f);
  return (has('avx2') || has('avx512f')) && !has('avx512_vnni') && !has('avx_vnni');
}

/** A container's limit counts, not the memory of its host. */
function memoryBytes(): number {
  const limit = process.constrainedMemory();
  return limit > 0 && limit < os.totalmem() ? limit : os.totalmem();
}

function rawFlags(): string {
  try {
    if (process.platform === 'linux')
      // the pattern has one group
      return (/^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8')) ?? ['', ''])[1];
    if (process.platform === 'darwin') return sysctl();
  } catch {
    /* the features are then unknown */
  }
  return '';
}

/** `hw.optional.arm.FEAT_DotProd: 1` on Apple silicon, `machdep.cpu.features: AVX2 …` on Intel. */
function sysctl(): string {
  const out = execFileSync('/usr/sbin/sysctl', ['-a'], {
    encoding: 'utf8',
    timeout: 2000,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const on = [...out.matchAll(/^hw\.optional\.(?:arm\.)?(\w+): 1$/gm)].map(([, name]) => name);
  const intel = [...out.matchAll(/^machdep\.cpu\.(?:leaf7_)?features: (.*)$/gm)].map(([, list]) => list);
  return [...on, ...intel].join(' ');
}
