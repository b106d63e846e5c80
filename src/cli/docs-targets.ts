/** The page of targets: what is known of each runtime, as planning reads it. */
import { readFileSync } from 'node:fs';
import type { PortRule, TargetProfile } from '../scheme/profile.js';

const list = (words: readonly string[], none = 'none'): string =>
  words.length ? words.map((w) => `\`${w}\``).join(', ') : none;
const port = ({ types, symmetric, narrow, granularity }: PortRule): string =>
  `${list(types)}${symmetric ? ', symmetric' : ''}${narrow ? ', without the lowest code' : ''}, one scale per ${granularity.join(' or ')}`;

const U8S8 = {
  pairs: 'adds pairs in int16 on some CPUs: weights are kept safe',
  'any-pairs': 'adds pairs in int16 on some CPUs, in an order of its own: no two weights of an output may saturate',
  exact: 'exact',
} as const;

/** What is known of a target, one thing after another, in Markdown. */
export function factsOf(t: TargetProfile): readonly (readonly [what: string, fact: string])[] {
  const { activations: a, weights: w, weightGranularity } = t.defaults;
  const scheme = (s: typeof a): string => `\`${s.dtype}\` ${s.symmetric ? 'symmetric' : 'asymmetric'}`;
  const kernels = Object.entries(t.integerOps).map(([op, k]) => {
    const notes = [
      k.floatOutput ? 'may give float' : '',
      k.constantWeight ? 'with a constant weight only' : '',
      k.channelAxes === undefined ? '' : `scales by channel up to ${k.channelAxes} axes`,
      k.activation ? `activations ${port(k.activation)}` : '',
      k.weight ? `weights ${port(k.weight)}` : '',
    ].filter((x) => x !== '');
    return `\`${op}\`${notes.length ? ` (${notes.join('; ')})` : ''}`;
  });
  const fixed = Object.entries(t.fixedOutputs ?? {}).flatMap(([op, codes]) =>
    codes.map((c) => `\`${op}\` ${c.dtype} scale ${c.scale}, zero point ${c.zeroPoint}`),
  );
  return [
    ['also called', list(t.aliases ?? [])],
    ['hardware', t.hardware],
    ['is given', t.artefact === 'onnx' ? 'the ONNX model' : 'files of its own; the ONNX model shows what was measured'],
    ['runs here', t.host === 'here' ? 'yes' : 'no: numbers are simulated, speed and kernels are not known'],
    ['formats', list(t.formats)],
    ['opset', `up to ${t.maxOpset}`],
    ['defaults', `activations ${scheme(a)}, weights ${scheme(w)} per ${weightGranularity}`],
    ['activations', port(t.ports.activation)],
    ['weights', port(t.ports.weight)],
    ['beyond that', t.beyondPorts === 'float' ? 'computed in float' : 'refused'],
    ['biases', t.bias === 'int32' ? 'int32 codes' : 'float'],
    ...(t.scales === 'power-of-two' ? [['scales', 'powers of two'] as const] : []),
    ...(t.sameScale?.length ? [['one scale for inputs and outputs', list(t.sameScale)] as const] : []),
    ...(fixed.length ? [['outputs with fixed codes', fixed.join(', ')] as const] : []),
    ...(t.fusedSums?.length ? [['sums within the kernel before', list(t.fusedSums)] as const] : []),
    ['uint8 × int8', U8S8[t.u8s8]],
    ['integer kernels', kernels.join(', ')],
    ['moves codes', list(t.passthroughOps)],
    ['written on codes', list(t.onCodes)],
    ['8-bit codes only', list(t.byteCodes)],
    ['fused', list(t.fusions)],
    ['float layers read', t.floatReads === 'values' ? 'tensors as they were made' : 'values of codes'],
    ...(t.zeroPointsBetween?.length
      ? [['zero points all the same', `of tensors between ${list(t.zeroPointsBetween)}`] as const]
      : []),
    ...(t.quantizesFloat?.length ? [['kept float by a Sum of one operand', list(t.quantizesFloat)] as const] : []),
    ['own operators', t.ownOps.map((o) => `[${o.op}](${o.source})`).join(', ') || 'none'],
  ];
}

/** A section for a target. */
export function targetDoc(t: TargetProfile): string {
  const quirks = t.quirks.map((q) => `- **${q.code}**: ${q.text} ([source](${q.source}))`);
  return (
    `## ${t.name}\n\n${t.doc} [Source](${t.source.split(/[; ]/)[0] ?? ''}).\n\n| | |\n|---|---|\n` +
    `${factsOf(t)
      .map(([what, fact]) => `| ${what} | ${fact} |`)
      .join('\n')}\n\n${quirks.join('\n')}\n`
  );
}

/** The runtime that the page shows as data. */
const SHIFT_NPU = new URL('../../examples/own-plugins/shift-npu.mjs', import.meta.url);

export const targetsDoc = (targets: readonly TargetProfile[], made: string): string =>
  `${made}\n# Targets\n\n${INTRODUCTION}\n\n## A runtime of your own, as data\n\n${OWN}\n\n\`\`\`js\n${readFileSync(SHIFT_NPU, 'utf8').trim()}\n\`\`\`\n\n` +
  targets.map(targetDoc).join('\n');

const INTRODUCTION =
  '`target` of a recipe names the runtime that a model will ship to; a list, or `--targets a,b`, writes a folder for each, ' +
  'from one calibration. A folder has what the runtime loads, a README.md with the code that loads it, and what stays float ' +
  'there and why. Of runtimes that do not run here, accuracy is that of the same codes, computed exactly; `quantize verify ' +
  'FOLDER` runs them in the runtime itself, where it is installed, and puts accuracy, latency and the layers that computed ' +
  'in integers into the report. `gate: { targets: { openvino: { accuracyDrop: 0.5% } } }` judges by that; until it was ' +
  'verified, such a limit is undecided. `quantize lint MODEL --target T` holds any ONNX model against the rules of a ' +
  'runtime, `quantize convert MODEL --target T` writes it without quantization, and `quantize targets` lists them. What ' +
  'follows is all that planning knows; each fact stands in a folder of `src/targets/`.';
const OWN =
  'What a runtime wants is data wherever it reads Q/DQ models: types, symmetry, powers of two, which operators share a scale, ' +
  'which outputs are fixed, what is fused. A recipe names the module under `plugins`, then `target: shift-npu`:';
