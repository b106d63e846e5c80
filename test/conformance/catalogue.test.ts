/**
 * What the optimiser can do, item by item, with the passes that do it; and that each pass has the four kinds of
 * fixtures: one that it changes, one that it leaves alone, one at a boundary of the graph, and one that it refuses with
 * a reason.
 */
import { describe, expect, it } from 'vitest';
import { allGraphs, type Model } from '../../src/ir/model.js';
import { parseModel } from '../../src/ir/text/parse.js';
import { byName, targetFusions } from '../../src/passes/fusions.js';
import { everyPass, optimizing } from '../../src/passes/presets.js';
import { readFixtures } from './fixture.js';

const CATALOGUE: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  fold: {
    'any op with constant inputs, with a size limit': ['fold-constants', 'fold-large-constants'],
    'weights made of fewer numbers, or of those of others': ['fold-shared-weights'],
    'shape arithmetic': ['fold-shapes', 'name-sizes'],
    'Constant, and defaults of inputs': ['extract-constants', 'lift-initializers'],
    'If with a constant condition': ['fold-if'],
    'Loop of known trips, Scan of one': ['fold-loop'],
  },
  eliminate: {
    'Identity, Dropout': ['eliminate-identity'],
    'no-op Cast': ['eliminate-cast'],
    'no-op Slice': ['eliminate-slice'],
    'no-op Expand, Tile': ['eliminate-expand', 'eliminate-tile'],
    'no-op Pad': ['eliminate-pad'],
    'no-op Reshape, Flatten': ['eliminate-reshape'],
    'no-op Transpose': ['eliminate-transpose'],
    'no-op Resize': ['eliminate-resize'],
    'Concat of one': ['eliminate-concat'],
    'Split of one': ['eliminate-split'],
    'pooling of 1 × 1 with stride 1': ['eliminate-pool'],
    'no-op Squeeze': ['eliminate-squeeze'],
    'no-op reductions': ['eliminate-reduce'],
    'neutral elements': ['eliminate-neutral'],
    'Where of a constant condition': ['eliminate-where'],
    'Unsqueeze on constants': ['fold-constants'],
    'Squeeze and Unsqueeze': ['eliminate-squeeze-pair'],
    'Transpose and Transpose': ['eliminate-transpose-pair'],
    'Reshape and Reshape': ['eliminate-reshape-pair'],
    'Cast and Cast where exact': ['eliminate-cast-pair', 'merge-casts'],
    'Dequantize and Quantize by equal parameters': ['eliminate-quantize-pair'],
    'Concat and Slice': ['eliminate-concat-slice'],
    'Split and Concat': ['eliminate-split-concat'],
    'repeats: Slice': ['merge-slices', 'merge-ranges'],
    'repeats: Transpose': ['merge-transposes'],
    'repeats: reshapes': ['merge-reshapes'],
    'repeats: Pad': ['merge-pads'],
    'repeats: Clip, Relu': ['merge-clips', 'eliminate-repeats'],
    'repeats: Mul, Add by constants': ['merge-multiplications', 'merge-additions'],
    'common subexpressions': ['deduplicate-expressions'],
    'duplicate initializers': ['deduplicate-initializers'],
    'dead nodes': ['eliminate-dead'],
    'unused outputs': ['eliminate-unused-outputs'],
  },
  fuse: {
    'Conv, ConvTranspose, Gemm, MatMul + BatchNormalization': [
      'fold-batch-norm-conv',
      'fold-batch-norm-conv-transpose',
      'fold-batch-norm-gemm',
      'fold-batch-norm-matmul',
    ],
    'Conv + Mul, Add of constants': [
      'fold-bias-add',
      'fold-bias-add-transpose',
      'fold-bias-add-gemm',
      'fuse-channel-scale-conv',
      'fuse-channel-scale-conv-transpose',
    ],
    'Gemm, MatMul + scale': ['fuse-scale', 'fuse-channel-scale-gemm', 'fuse-channel-scale-matmul'],
    'Pad into Conv and pooling': ['fuse-pad-conv', 'fuse-pad-average-pool', 'fuse-pad-max-pool'],
    'MatMul + Add → Gemm': ['fuse-matmul-add'],
    'normalisation + scale': [
      'fuse-batch-norm-affine',
      'fuse-instance-norm-affine',
      'fuse-layer-norm-affine',
      'fuse-rms-norm-scale',
    ],
    'decomposed LayerNormalization, InstanceNormalization, RMSNorm': [
      'fuse-layer-norm',
      'fuse-instance-norm',
      'fuse-layer-norm-moments',
      'fuse-rms-norm',
      'raise-opset',
    ],
    'decomposed GroupNormalization': ['fuse-group-norm', 'fuse-group-norm-affine'],
    'decomposed activations': [
      'fuse-gelu',
      'fuse-gelu-tanh',
      'fuse-swish',
      'fuse-hard-swish',
      'fuse-hard-swish-clip',
      'fuse-hard-sigmoid',
      'fuse-mish',
      'fuse-leaky-relu',
      'fuse-prelu',
    ],
    'attention and rotary blocks': ['fuse-attention', 'fuse-attention-heads', 'fuse-rotary'],
    'attention over a cache where the target has it': ['fuse-group-query-attention'],
    'Conv + activation where the target has it': ['fuse-conv-activation', 'fuse-conv-add-activation'],
    'two linear layers without an activation between': ['fuse-linear-conv', 'fuse-linear-gemm', 'fuse-linear-matmul'],
    'Split, convolutions and Concat → one grouped or depthwise Conv': ['fuse-split-conv'],
    'decomposed Softmax, LogSoftmax': ['fuse-softmax', 'fuse-log-softmax'],
    'products of one input': ['fuse-parallel-matmul'],
    'Transpose into a reshape or a product': ['fuse-transpose-reshape', 'fuse-transpose-product'],
  },
  replace: {
    'PRelu of one slope → LeakyRelu': ['replace-prelu'],
    'ReduceMean over H, W → GlobalAveragePool': ['replace-mean'],
    'Pow(x, 2) → Mul': ['replace-square'],
    'Div, Sub by a constant → Mul, Add': ['replace-division', 'replace-subtraction'],
    'Upsample → Resize': ['replace-upsample'],
    'MatMul between Transposes → 1×1 Conv': ['replace-linear'],
    '1×1 Conv after global pooling → Gemm': ['replace-conv'],
    'BatchNormalization → Mul + Add': ['replace-batch-norm'],
  },
  move: {
    'Transpose to where it cancels': ['sink-transposes'],
    'Slice, Gather before elementwise ops and products': ['move-selections'],
    'Slice, Gather into a Concat': ['move-slice-concat', 'move-gather-concat'],
    'Reshape past elementwise ops': ['move-reshapes'],
    'factors past Transpose and Reshape to a product': ['fuse-scale'],
  },
};

/** Passes that have no near misses to tell of, and why. */
const SILENT: Readonly<Record<string, string>> = {
  'deduplicate-initializers': 'two constants are equal or not',
  'eliminate-dead': 'a node is used or not',
  'eliminate-unused-outputs': 'an output is used or not',
  'extract-constants': 'every Constant can become an initializer',
  'fold-shapes': 'a size is known or not',
  'name-sizes': 'a size is known or not',
  'lift-initializers': 'an input has a default or not',
  'raise-opset': 'what keeps an opset is a note of the run',
  'replace-upsample': 'what keeps an opset is a note of the run',
  'fuse-parallel-matmul': 'products may stay apart',
};

const fixtures = readFixtures('passes');
const ownName = (fixture: string): string => fixture.replace(/\.\d+$/, '');

/** Whether some result is both returned and used, used twice, or used by a graph within. */
function atBoundary(model: Model): boolean {
  for (const graph of allGraphs(model.graph)) {
    for (const v of [...graph.initializers, ...graph.inputs, ...[...graph.nodes].flatMap((n) => n.outputs)]) {
      if ([...v.uses].some((u) => u.node.graph !== graph)) return true;
      if (v.producer && (v.uses.size > 1 || (v.uses.size > 0 && v.isGraphOutput))) return true;
    }
  }
  return false;
}

describe('the catalogue', () => {
  it('names passes that exist, and every pass', () => {
    const named = new Set(Object.values(CATALOGUE).flatMap((items) => Object.values(items).flat()));
    expect([...named].filter((name) => !everyPass.some((p) => p.name === name))).toEqual([]);
    expect(everyPass.map((p) => p.name).filter((name) => !named.has(name))).toEqual([]);
  });
  it('is what the levels run, but for what slows onnxruntime down or needs a target', () => {
    for (const pass of everyPass)
      expect(
        byName.includes(pass) ||
          targetFusions.includes(pass) ||
          Object.values(optimizing).some((list: readonly { name: string }[]) => list.some((p) => p.name === pass.name)),
        pass.name,
      ).toBe(true);
  });
});

describe.each(everyPass.map((p) => p.name))('%s', (name) => {
  const own = fixtures.filter((f) => ownName(f.name) === name);
  it('has a fixture that it changes, and one that it leaves alone', () => {
    expect(own.some((f) => f.sections.get('changes') !== '0')).toBe(true);
    expect(own.some((f) => f.sections.get('changes') === '0')).toBe(true);
  });
  it('has one at a boundary of the graph', () => {
    expect(own.some((f) => atBoundary(parseModel(f.sections.get('before') ?? '', { randomInitializers: 1 })))).toBe(
      true,
    );
  });
  it(name in SILENT ? `has no near misses: ${SILENT[name]}` : 'has one that it refuses with a reason', () => {
    expect(own.some((f) => (f.sections.get('refused') ?? '') !== '')).toBe(!(name in SILENT));
  });
});
