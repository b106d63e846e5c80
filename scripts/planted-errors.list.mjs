/**
 * Errors that the tests must catch: one text of one file in place of another, what it is, and which tests are run. Tests
 * are those of the file's room, and where they are elsewhere or slow, those that are named.
 */

/** @typedef {{ file: string, from: string, to: string, what: string, tests?: readonly string[] }} Planted */
const FACETS = 'test/conformance/facets/facets.test.ts';
const LINKS = 'test/conformance/facets/links.test.ts';
const OBSERVERS = 'test/conformance/facets/observers.test.ts';
const METHODS = 'test/conformance/facets/weight-methods.test.ts';
const PASSES = 'test/conformance/passes.test.ts';
const GATES = ['test/conformance/gates.test.ts', 'test/rooms/gate/gates.test.ts'];
const FORMATS = 'test/conformance/formats.test.ts';

/** @type {(file: string, what: string, from: string, to: string, ...tests: string[]) => Planted} */
const error = (file, what, from, to, ...tests) => ({
  file: `src/${file}`,
  what,
  from,
  to,
  ...(tests.length ? { tests } : {}),
});

/** @type {readonly Planted[]} */
export const planted = [
  // Operators: types, shapes, contents, costs, ties
  error(
    'ops/conv.ts',
    'dilations left out of the reach of a window',
    '* (dilations[i] ?? 1) + 1;\n    if (auto',
    '+ 1;\n    if (auto',
    FACETS,
  ),
  error('ops/reduce.ts', 'ArgMax gives int32', "const dtype: DType = 'int64'", "const dtype: DType = 'int32'", FACETS),
  error(
    'ops/norm.ts',
    'statistics of LayerNormalization keep one axis too many',
    'i >= (axis < 0',
    'i > (axis < 0',
    FACETS,
  ),
  error(
    'ops/shape-rules.ts',
    'Split forgets what is left of an uneven axis',
    'Math.min(part, d - k * part)',
    'part',
    FACETS,
  ),
  error(
    'ops/elementwise.ts',
    'shape arithmetic subtracts the other way',
    'ints: (a, b) => a - b',
    'ints: (a, b) => b - a',
    FACETS,
  ),
  error(
    'ops/quant.ts',
    'QLinearMatMul takes the type of its input',
    'dtype: ctx.input(7)?.dtype ?? ctx.input(0)?.dtype,\n        shape: matMulShape(ctx.input(0)?.shape, ctx.input(3)?.shape)',
    "dtype: 'int8',\n        shape: matMulShape(ctx.input(0)?.shape, ctx.input(3)?.shape)",
    FACETS,
  ),
  error(
    'ops/control.ts',
    'states of a recurrent cell lose a direction',
    ': [directions, b, hidden];',
    ': [1, b, hidden];',
    FACETS,
  ),
  error(
    'ops/matmul.ts',
    'the cost of Gemm ignores transA',
    "a.shape[node.int('transA', 0) ? 0 : 1]",
    'a.shape[1]',
    FACETS,
  ),
  error(
    'ops/conv.ts',
    'ConvTranspose counts a product for each result',
    'cost: ([x, w]) => ({ macs: sizeOf(x?.shape)',
    'cost: ([, w], [x]) => ({ macs: sizeOf(x?.shape)',
    FACETS,
  ),
  error(
    'ops/pool.ts',
    'pooling costs one operation for each result',
    "otherOps: sizeOf(y?.shape) * sizeOf(node.ints('kernel_shape')),",
    'otherOps: sizeOf(y?.shape),',
    FACETS,
  ),
  error(
    'cost/nodes.ts',
    'an input that stands twice is read twice',
    'bytes([...new Set(node.inputs)])',
    'bytes(node.inputs)',
    FACETS,
    'test/rooms/cost',
  ),
  error(
    'cost/memory.ts',
    'a buffer is free one node too early',
    'to: last.get(v) ?? at }',
    'to: (last.get(v) ?? at) - 1 }',
    'test/rooms/cost',
  ),
  error(
    'cost/roofline.ts',
    'time of a node is the sum of both bounds',
    'Math.max(compute, memory) * n.times',
    '(compute + memory) * n.times',
    'test/rooms/cost',
  ),
  error(
    'ops/links.ts',
    'channels of a second operand of Concat begin at 0',
    'homogeneous: true, offset: -at });',
    'homogeneous: true, offset: 0 });',
    LINKS,
  ),
  error(
    'ops/links.ts',
    'a divisor counts as a factor',
    "aligned(k, n.outputs[0], n.op === 'Mul')",
    'aligned(k, n.outputs[0], true)',
    LINKS,
  ),
  error(
    'ops/permute.ts',
    'new axes of Unsqueeze move with the others',
    'made.has(i) ? i : old[p[next++]!]!',
    'made.has(i) ? i : old[next++]!',
    'test/rooms/passes/sink-transposes.test.ts',
    'test/rooms/passes/sink-transposes-random.test.ts',
    PASSES,
  ),

  // Passes
  error(
    'passes/fold-batch-norm.ts',
    'the mean is added',
    '(before?.[i] ?? 0) - mean[i]!',
    '(before?.[i] ?? 0) + mean[i]!',
    PASSES,
  ),
  error(
    'passes/fuse-pad.ts',
    'begin and end of pads are swapped',
    '[...pads.slice(2, rank), ...pads.slice(rank + 2)]',
    '[...pads.slice(rank + 2), ...pads.slice(2, rank)]',
    PASSES,
  ),
  error(
    'passes/eliminate-pairs.ts',
    'codes of another zero point count as the same',
    '[1, 2].every((i) => sameConstant',
    '[1].every((i) => sameConstant',
    PASSES,
  ),
  error(
    'passes/fuse-leaky-relu.ts',
    'a slope above 1 is taken, too',
    'slope <= 0 || slope > 1)',
    'slope <= 0 || slope > 9)',
    PASSES,
  ),

  // Scheme
  error(
    'scheme/rounding.ts',
    'half away from zero',
    'return x + MAGIC - MAGIC;',
    'return Math.sign(x) * Math.round(Math.abs(x));',
    'test/rooms/scheme',
  ),
  error(
    'scheme/params.ts',
    'symmetric int8 uses its lowest code',
    'low < -8 ? [-high, high]',
    'low < -8 ? [low, high]',
    'test/rooms/scheme',
  ),
  error(
    'scheme/params.ts',
    'zero point one off',
    'roundHalfEven(low - min / exact)',
    'roundHalfEven(low - min / exact) + 1',
    'test/rooms/scheme',
  ),
  error('scheme/arithmetic.ts', 'NaN becomes the lowest code', 'Number.isNaN(q) ? z : low', 'low', 'test/rooms/scheme'),
  error(
    'scheme/bias.ts',
    'the margin of biases is left out',
    '(1.0001 * (2 * largest(bias)))',
    '(0.5 * (2 * largest(bias)))',
    'test/rooms/scheme',
  ),
  error(
    'scheme/saturation.ts',
    'pairs may add up to 129',
    'export const PAIR_LIMIT = 128;',
    'export const PAIR_LIMIT = 129;',
    'test/rooms/scheme',
    'test/rooms/runtime/saturating-kernels.test.ts',
    'test/rooms/quantize',
    'test/rooms/analyse',
  ),

  // Statistics and observers
  error(
    'calibrate/statistics/histogram.ts',
    'zeros are forgotten when parts are joined',
    'zeros: a.zeros.map((z, c) => z + b.zeros[c]!)',
    'zeros: a.zeros.slice()',
    OBSERVERS,
    'test/rooms/calibrate',
  ),
  error(
    'calibrate/statistics/histogram.ts',
    'wider bins are off by one below zero',
    'folded[((k - bins) >> shift) + bins]',
    'folded[Math.trunc((k - bins) / 2 ** shift) + bins]',
    OBSERVERS,
    'test/rooms/calibrate',
  ),
  error(
    'calibrate/statistics/ema.ts',
    'the average and the batch change places',
    'keep * stats.averageMin[c]! + (1 - keep) * seen.min[c]!',
    '(1 - keep) * stats.averageMin[c]! + keep * seen.min[c]!',
    OBSERVERS,
  ),
  error(
    'calibrate/observers/percentile.ts',
    'the whole share is cut at each end',
    '[quantile(bins, cut / 2), quantile(bins, 1 - cut / 2)]',
    '[quantile(bins, cut), quantile(bins, 1 - cut)]',
    OBSERVERS,
  ),
  error(
    'calibrate/observers/mse.ts',
    'a range beside the best',
    'return around(largest * search1((share) => error(-share * largest, share * largest)));',
    'return around(0.93 * largest * search1((share) => error(-share * largest, share * largest)));',
    OBSERVERS,
  ),
  error(
    'calibrate/observers/kl.ts',
    'the two ends are off-centre by a step',
    '[a === 0 ? min : start + a * width, b === counts.length ? max : start + b * width]',
    '[a === 0 ? min : start + (a + 1) * width, b === counts.length ? max : start + (b + 1) * width]',
    OBSERVERS,
  ),
  error(
    'calibrate/tap.ts',
    'the least of a channel is its greatest',
    "reduce('ReduceMin', flat, 2)",
    "reduce('ReduceMax', flat, 2)",
    'test/rooms/calibrate/runner.test.ts',
  ),

  // Weight methods and adjustments
  error(
    'codes/gptq.ts',
    'errors are passed on with the wrong sign',
    'target[at]! + before / pivot',
    'target[at]! - before / pivot',
    METHODS,
  ),
  error(
    'codes/gptq.ts',
    'the smallest inputs first',
    'h[b * columns + b]! - h[a * columns + a]!',
    'h[a * columns + a]! - h[b * columns + b]!',
    METHODS,
  ),
  error(
    'codes/hqq.ts',
    'small errors are kept, large ones shrunk',
    'size - size ** (p - 1) / beta',
    'size + size ** (p - 1) / beta',
    METHODS,
    'test/rooms/codes/weight-methods.test.ts',
  ),
  error(
    'codes/k-quant.ts',
    'the offset has the wrong sign',
    'low + roundHalfEven(-offset / scale)',
    'low + roundHalfEven(offset / scale)',
    METHODS,
    'test/rooms/codes/weight-methods.test.ts',
  ),
  error(
    'codes/search.ts',
    'the zero point is one off',
    'zeroPoint[p] = from + (best',
    'zeroPoint[p] = from + 1 + (best',
    METHODS,
    'test/rooms/codes/weight-methods.test.ts',
  ),
  error(
    'channels/scaling.ts',
    'what reads a channel is scaled like what makes it',
    'this.scale(s, 1 / by)',
    'this.scale(s, by)',
    'test/rooms/adjust',
  ),

  // Formats and planning
  error(
    'formats/qdq.ts',
    'pads on codes forget their value',
    'const value = n.inputs[2]?.data?.f32() ?? new Float32Array(1);',
    'const value = new Float32Array(1);',
    FORMATS,
    'test/rooms/formats',
  ),
  error(
    'formats/param-shape.ts',
    'scales lie on the axis beside theirs',
    'return { axis: s.granularity.axis };',
    'return { axis: s.granularity.axis + 1 };',
    FORMATS,
  ),
  error(
    'formats/pad-axes.ts',
    'ends of pads go to the begin',
    'all[axis + rank]! += pads[i + axes.length]!;',
    'all[axis]! += pads[i + axes.length]!;',
    'test/rooms/formats',
  ),
  error(
    'quantize/knapsack.ts',
    'the dearest choice first',
    'const price = (c.loss - at(i).loss) / saved;',
    'const price = (c.loss - at(i).loss) * saved;',
    'test/rooms/quantize',
  ),
  error(
    'quantize/kernel-limits.ts',
    'one code is the border of channels with scales of their own',
    'if (addsBorder(n) || x?.shape',
    'if (x?.shape',
    'test/rooms/quantize',
    'test/rooms/formats/per-channel.test.ts',
  ),

  // Gates, metrics, statistics of evaluation
  error(
    'gate/rule.ts',
    'a limit that is just kept fails',
    "return high <= limit ? 'pass'",
    "return high < limit ? 'pass'",
    ...GATES,
  ),
  error(
    'gate/rule.ts',
    'the interval of a change has the wrong sign',
    'sign < 0 ? [0 - drop[1], 0 - drop[0]] : drop',
    'drop',
    ...GATES,
  ),
  error(
    'gate/gates/latency-ratio.ts',
    'a speed-up counts as the ratio',
    ': 1 / latency.speedup;',
    ': latency.speedup;',
    ...GATES,
  ),
  error(
    'evaluate/metrics/top-k.ts',
    'of equal scores the label is the highest',
    '(v === own && i < label)',
    '(v === own && i > label)',
    'test/rooms/evaluate',
  ),
  error(
    'evaluate/metrics/f1.ts',
    'a miss counts twice',
    '2 * hits + wrong + missed',
    '2 * hits + wrong + 2 * missed',
    'test/rooms/evaluate',
  ),
  error(
    'evaluate/statistics.ts',
    "McNemar's test has one tail",
    'Math.min(1, 2 * tail)',
    'Math.min(1, tail)',
    'test/rooms/evaluate',
  ),
  error(
    'evaluate/output-error.ts',
    'SQNR without the ratio of powers',
    '10 * Math.log10(ff / ee)',
    '20 * Math.log10(ff / ee)',
    'test/rooms/evaluate',
    'test/rooms/analyse/parts.test.ts',
    'test/rooms/gate/gates.test.ts',
  ),

  // Data, store, reports
  error(
    'data/preprocess.ts',
    'mean and standard deviation in the other order',
    'Math.fround(Math.fround(scaled - mean) / std)',
    'Math.fround(Math.fround(scaled / std) - mean)',
    'test/rooms/data/images.test.ts',
  ),
  error(
    'data/preprocess.ts',
    'NHWC is filled like NCHW',
    "layout === 'NCHW' ? pixels : 1;",
    'pixels;',
    'test/rooms/data/images.test.ts',
  ),
  error(
    'data/preprocess.ts',
    'BGR is read as RGB',
    "colour === 'BGR' ? 2 - c : c",
    'c',
    'test/rooms/data/images.test.ts',
  ),
  error(
    'data/resample.ts',
    'pixels are looked at from their corner',
    '(i + 0.5) * scale',
    'i * scale',
    'test/rooms/data',
  ),
  error(
    'data/npy.ts',
    'big-endian numbers are read as they are',
    "bigEndian: descr[0] === '>' && itemBytes > 1",
    'bigEndian: false',
    'test/rooms/data/arrays.test.ts',
  ),
  error(
    'store/objects.ts',
    'an object of the right size counts as whole',
    '&& sha256File(object) === sha256',
    '',
    'test/rooms/store',
    'test/conformance/store.test.ts',
  ),
  error(
    'store/state.ts',
    'a rollback leaves production where it is',
    'here.held.pop();',
    '',
    'test/rooms/store',
    'test/conformance/store.test.ts',
  ),
  error(
    'report/summary.ts',
    'slower is told as faster',
    'return speedup > 1 ?',
    'return speedup < 1 ?',
    'test/rooms/report',
  ),
  error(
    'report/summary.ts',
    'of metrics where lower is better, more is better',
    'const sign = m.higherIsBetter ? 1 : -1;',
    'const sign = 1;',
    'test/rooms/report',
  ),
  error(
    'report/text.ts',
    'a rise has no sign',
    '/[1-9]/.test(text) ? `+${text}` : text',
    '/[1-9]/.test(text) ? text : text',
    'test/rooms/report',
  ),
  error(
    'analyse/tensor-error.ts',
    'dead channels are those that live',
    'n + (a === 1 ? 1 : 0)',
    'n + (a === 3 ? 1 : 0)',
    'test/rooms/analyse',
  ),
];
