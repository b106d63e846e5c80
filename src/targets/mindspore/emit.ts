/** The configuration of converter_lite, in the form of INI, and raw samples for it. */
import { fail } from '../../base/errors.js';
import { cloneModel } from '../../ir/clone.js';
import type { FeedTensor } from '../../ir/feed.js';
import { encodeModel } from '../../onnx/encode.js';
import { forgetInferred } from '../../ops/infer.js';
import type { ExportedFile } from '../../exporters/types.js';
import type { Emitted, EmitInput } from '../types.js';

/** Samples beyond these make the folder large and the scales no better. */
const MOST_SAMPLES = 100;

/** Methods of the converter by observer: extremes, entropy, and those that cut outliers off. */
const METHODS: Readonly<Record<string, string>> = { minmax: 'MAX_MIN', ema: 'MAX_MIN', kl: 'KL' };

export async function emit({ graph, samples }: EmitInput): Promise<Emitted> {
  const { model } = cloneModel(graph.model);
  forgetInferred(model);
  const float: ExportedFile = { path: 'model.onnx', role: 'model', data: encodeModel(model) };
  const { integerNodes, floatNodes, plan } = graph.planned;
  if (!integerNodes.size) return { files: [float], floats: [] };
  const inputs = model.graph.inputs.filter((v) => !v.data).map((v) => v.name);
  const files: ExportedFile[] = [];
  let count = 0;
  for await (const feed of samples()) {
    if (count >= MOST_SAMPLES) break;
    for (const [i, name] of inputs.entries()) {
      const t = feed[name] ?? fail('DATA_SHAPE', `a sample has no value for '${name}'`, { tensor: name });
      files.push({
        path: `calibration/${i}/${String(count).padStart(5, '0')}.bin`,
        role: 'sidecar',
        data: firstRow(name, t),
      });
    }
    count++;
  }
  if (!count)
    fail('DATA_MISSING', 'the converter calibrates on samples, and there are none', {}, 'set calibration.data');
  const observed = [...plan.values()].find((s) => s.kind === 'observed');
  const method = METHODS[observed?.kind === 'observed' ? observed.observer : ''] ?? 'REMOVAL_OUTLIER';
  const skipped = [...floatNodes.keys()].flatMap((n) => (n.name ? n.name : []));
  const config = [
    '[common_quant_param]',
    'quant_type=FULL_QUANT',
    'bit_num=8',
    ...(skipped.length ? [`skip_quant_node=${skipped.join(',')}`] : []),
    '[data_preprocess_param]',
    `calibrate_path=${inputs.map((name, i) => `${name}:calibration/${i}`).join(',')}`,
    `calibrate_size=${count}`,
    'input_type=BIN',
    '[full_quant_param]',
    `activation_quant_method=${method}`,
    'bias_correction=true',
    'per_channel=true',
    '',
  ];
  const unsafe = [...skipped, ...inputs].find((n) => /[\r\n,:=]/.test(n));
  if (unsafe !== undefined)
    fail(
      'EXPORT_UNSUPPORTED',
      `the configuration cannot hold the name '${unsafe}'`,
      {},
      'rename it: no , : = or line ends',
    );
  return {
    files: [float, { path: 'quantize.cfg', role: 'sidecar', data: config.join('\n') }, ...files],
    artefact: '.',
    floats: [],
  };
}

/** Bytes of the first sample of a batch. */
function firstRow(name: string, { data, dims }: FeedTensor): Uint8Array {
  if (!ArrayBuffer.isView(data)) return fail('EXPORT_UNSUPPORTED', `input '${name}' is of text`, { tensor: name });
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return bytes.slice(0, bytes.length / Math.max(1, dims[0] ?? 1));
}
