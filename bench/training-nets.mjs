/** A MobileNetV2 for images of 32 × 32, as ONNX text; its weights have the names that training-peer.py gives them. */
import { parseModel } from '../dist/index.js';
import { createRng } from '../dist/base/rng.js';
import { encodeTensor } from '../dist/ir/encode.js';

/** Of each stage: factor of the expansion, channels, repeats, stride of the first; and channels of the head. */
const WIDE = {
  stages: [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 3, 2],
  ],
  head: 256,
};
/** A net that is trained in minutes. */
export const SMALL = {
  stages: [
    [1, 16, 1, 1],
    [4, 24, 2, 2],
    [4, 32, 2, 2],
    [4, 64, 2, 1],
  ],
  head: 192,
};

export function mobileNet({ stages, head } = WIDE) {
  const weights = [];
  const lines = [];
  const conv = (name, x, [o, i, k], { stride = 1, group = 1 } = {}) => {
    weights.push([`${name}.weight`, [o, i, k, k]]);
    const pad = (k - 1) / 2;
    const attributes = `pads = [${[pad, pad, pad, pad]}], strides = [${[stride, stride]}], group = ${group}`;
    lines.push(`"${name}" = Conv<${attributes}>(${x}, "${name}.weight")`);
    return `"${name}"`;
  };
  const norm = (name, x, channels, clip = true) => {
    const parts = ['weight', 'bias', 'running_mean', 'running_var'].map((p) => `${name}.${p}`);
    weights.push(...parts.map((p) => [p, [channels]]));
    lines.push(`"${name}" = BatchNormalization(${x}, ${parts.map((p) => `"${p}"`).join(', ')})`);
    if (!clip) return `"${name}"`;
    lines.push(`"${name}.clip" = Clip("${name}", zero, six)`.replace('zero', '"zero"').replace('six', '"six"'));
    return `"${name}.clip"`;
  };
  let x = norm('stem.1', conv('stem.0', 'input', [16, 3, 3]), 16);
  let [channels, block] = [16, 0];
  for (const [expand, out, repeats, first] of stages)
    for (let i = 0; i < repeats; i++, block++) {
      const [stride, wide, name] = [i ? 1 : first, channels * expand, `blocks.${block}`];
      let y = x;
      if (expand > 1) y = norm(`${name}.n0`, conv(`${name}.c0`, y, [wide, channels, 1]), wide);
      y = norm(`${name}.n1`, conv(`${name}.c1`, y, [wide, 1, 3], { stride, group: wide }), wide);
      y = norm(`${name}.n2`, conv(`${name}.c2`, y, [out, wide, 1]), out, false);
      if (stride === 1 && channels === out) {
        lines.push(`"${name}.sum" = Add(${x}, ${y})`);
        y = `"${name}.sum"`;
      }
      [x, channels] = [y, out];
    }
  x = norm('head.1', conv('head.0', x, [head, channels, 1]), head);
  weights.push(['fc.weight', [10, head]], ['fc.bias', [10]]);
  lines.push(`p = GlobalAveragePool(${x})`, 'f = Flatten(p)', 'scores = Gemm<transB = 1>(f, "fc.weight", "fc.bias")');
  const declared = weights.map(([name, dims]) => `float[${dims}] "${name}"`).join(', ');
  const model = parseModel(
    `<ir_version: 8, opset_import: ["" : 17]>
net (float[N,3,32,32] input) => (float[N,10] scores) <${declared}, float "zero" = {0}, float "six" = {6}> {
  ${lines.join('\n  ')}
}`,
    { randomInitializers: 1 },
  );
  const rng = createRng(1, 'weights');
  for (const v of model.graph.initializers) {
    const { dims } = v.data;
    if (!dims.length) continue;
    const fan = dims.slice(1).reduce((n, d) => n * d, 1);
    const value = /weight$/.test(v.name)
      ? dims.length > 1
        ? () => rng.normal() * Math.sqrt(2 / fan)
        : () => 1
      : () => (v.name.endsWith('var') ? 1 : 0);
    v.data = encodeTensor('float32', dims, Float64Array.from({ length: dims.reduce((n, d) => n * d, 1) }, value));
  }
  return model;
}
