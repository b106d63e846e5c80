import { elements } from '../../src/ops/links.js';
import { perElement, type OpSpec } from '../../src/ops/spec.js';

/** x · Sigmoid(alpha · x), as onnxruntime has it beyond the standard. */
export const quickGelu: OpSpec = {
  op: 'QuickGelu',
  domain: 'com.microsoft',
  since: 1,
  doc: 'x · Sigmoid(alpha · x).',
  infer: (ctx) => {
    const x = ctx.input(0);
    return [{ dtype: x?.dtype, shape: x?.shape }];
  },
  cost: perElement,
  quant: { role: 'float', because: 'no integer kernel' },
  linear: 'no',
  links: elements,
  gradient: 'unsupported',
  foldable: true,
};
