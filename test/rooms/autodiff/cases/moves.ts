/** Rules of operators that move or pick elements. */
import type { RuleCase } from '../check.js';

const of = (...graphs: readonly string[]): RuleCase[] => graphs.map((graph) => ({ graph }));
/** Indices as an input, with values. */
const picking = (graph: string, i: readonly number[]): RuleCase => ({ graph, given: { i } });

export const moveCases: Readonly<Record<string, readonly RuleCase[]>> = {
  Reshape: of(
    '(real[2,3,4] x) => (real[6,4] y) <int64[2] s = {-1,4}> { y = Reshape (x, s) }',
    '(real[2,3] x) => (real[2,3,1] y) <int64[3] s = {0,3,1}> { y = Reshape (x, s) }',
    '(real[4] x) => (real[2,2] y) { s = Constant <value_ints = [2,2]> () y = Reshape (x, s) }',
    '(real[2,6] x) => (real[6,2] y) <int64[1] o = {1}, int64[2] p = {1,0}> ' +
      '{ s = Shape (x) t = Gather (s, p) y = Reshape (x, t) }',
  ),
  Flatten: of(
    '(real[2,3,4] x) => (real[2,12] y) { y = Flatten (x) }',
    '(real[2,3,4] x) => (real[1,24] y) { y = Flatten <axis = 0> (x) }',
    '(real[2,3,4] x) => (real[6,4] y) { y = Flatten <axis = -1> (x) }',
  ),
  Transpose: of(
    '(real[2,3,4] x) => (real[4,3,2] y) { y = Transpose (x) }',
    '(real[2,3,4] x) => (real[3,4,2] y) { y = Transpose <perm = [1,2,0]> (x) }',
    '(real[2,3] x) => (real[2,3] y) { y = Transpose <perm = [0,1]> (x) }',
  ),
  Squeeze: of(
    '(real[2,1,3,1] x) => (real[2,3] y) { y = Squeeze (x) }',
    '(real[2,1,3,1] x) => (real[2,3,1] y) <int64[1] a = {1}> { y = Squeeze (x, a) }',
    '(real[1,3] x) => (real[3] y) <int64[1] a = {-2}> { y = Squeeze (x, a) }',
  ),
  Unsqueeze: of(
    '(real[3] x) => (real[1,3,1] y) <int64[2] a = {0,-1}> { y = Unsqueeze (x, a) }',
    '(real[2,3] x) => (real[2,1,3] y) <int64[1] a = {1}> { y = Unsqueeze (x, a) }',
    '(real x) => (real[1] y) <int64[1] a = {0}> { y = Unsqueeze (x, a) }',
  ),
  Slice: of(
    ...[
      ['[5,6]', '[2,3]', '{1,2}', '{3,5}', '{0,1}', '{1,1}'],
      ['[5,7]', '[5,3]', '{0}', '{100}', '{1}', '{3}'],
      ['[5,7]', '[5,2]', '{1}', '{6}', '{-1}', '{3}'],
      ['[5,7]', '[5,7]', '{-1}', '{-100}', '{1}', '{-1}'],
      ['[7,4]', '[3,4]', '{5}', '{-100}', '{0}', '{-2}'],
      ['[8,9]', '[3,2]', '{-2,1}', '{0,7}', '{0,1}', '{-2,3}'],
      ['[6]', '[2]', '{-3}', '{-1}', '{0}', '{1}'],
      ['[6,9]', '[3,2]', '{1,1}', '{6,9}', '{0,1}', '{2,5}'], // more is left behind the last than a step
    ].map(([x, y, s, e, a, t]) => {
      const n = `int64[${s!.split(',').length}]`;
      const constants = `<${n} s = ${s}, ${n} e = ${e}, ${n} a = ${a}, ${n} t = ${t}>`;
      return `(real${x} x) => (real${y} y) ${constants} { y = Slice (x, s, e, a, t) }`;
    }),
  ),
  Concat: of(
    '(real[2,3] a, real[2,4] b) => (real[2,7] y) { y = Concat <axis = 1> (a, b) }',
    '(real[2,3] a, real[1,3] b, real[2,3] c) => (real[5,3] y) { y = Concat <axis = -2> (a, b, c) }',
    '(real[2,3] a) => (real[2,6] y) { y = Concat <axis = 1> (a, a) }',
  ),
  Split: of(
    '(real[2,7] x) => (real[2,3] y, real[2,4] z) <int64[2] s = {3,4}> { y, z = Split <axis = 1> (x, s) }',
    '(real[6,2] x) => (real[2,2] z) { y, z, w = Split <num_outputs = 3> (x) }', // only one of three is used
    '(real[2,5] x) => (real[2,3] y, real[2,2] z) { y, z = Split <axis = -1, num_outputs = 2> (x) }',
  ),
  Pad: [
    ...of(
      '(real[2,3] x) => (real[3,7] y) <int64[4] p = {0,1,1,3}> { y = Pad (x, p) }',
      '(real[2,3] x, real v) => (real[2,7] y) <int64[2] p = {1,3}, int64[1] a = {-1}> { y = Pad (x, p, v, a) }',
      '(real[2,5] x) => (real[3,3] y) <int64[4] p = {0,-1,1,-1}> { y = Pad (x, p) }',
      '(real[2,5] x) => (real[2,4] y) <int64[4] p = {0,-3,0,2}> { y = Pad (x, p) }',
    ),
    ...['reflect', 'edge', 'wrap'].flatMap((mode) =>
      of(
        `(real[3,4] x) => (real[6,7] y) <int64[4] p = {2,1,1,2}> { y = Pad <mode = "${mode}"> (x, p) }`,
        `(real[1,2,5] x) => (real[1,2,8] y) <int64[6] p = {0,0,3,0,0,0}> { y = Pad <mode = "${mode}"> (x, p) }`,
      ),
    ),
  ],
  Expand: of(
    '(real[3,1] x) => (real[2,3,4] y) <int64[3] s = {2,1,4}> { y = Expand (x, s) }',
    '(real x) => (real[2] y) <int64[1] s = {2}> { y = Expand (x, s) }',
    '(real[2,3] x) => (real[2,3] y) <int64[2] s = {1,1}> { y = Expand (x, s) }',
  ),
  Tile: of(
    '(real[2,3] x) => (real[4,9] y) <int64[2] r = {2,3}> { y = Tile (x, r) }',
    '(real[2,3] x) => (real[2,6] y) <int64[2] r = {1,2}> { y = Tile (x, r) }',
    '(real[4] x) => (real[12] y) <int64[1] r = {3}> { y = Tile (x, r) }',
  ),
  DepthToSpace: of(
    '(real[2,8,2,3] x) => (real[2,2,4,6] y) { y = DepthToSpace <blocksize = 2> (x) }',
    '(real[2,8,2,3] x) => (real[2,2,4,6] y) { y = DepthToSpace <blocksize = 2, mode = "CRD"> (x) }',
    '(real[1,9,1,2] x) => (real[1,1,3,6] y) { y = DepthToSpace <blocksize = 3, mode = "CRD"> (x) }',
  ),
  SpaceToDepth: of(
    '(real[2,2,4,6] x) => (real[2,8,2,3] y) { y = SpaceToDepth <blocksize = 2> (x) }',
    '(real[1,1,3,6] x) => (real[1,9,1,2] y) { y = SpaceToDepth <blocksize = 3> (x) }',
    '(real[1,3,2,2] x) => (real[1,12,1,1] y) { y = SpaceToDepth <blocksize = 2> (x) }',
  ),
  Trilu: of(
    '(real[3,4] x) => (real[3,4] y) { y = Trilu (x) }',
    '(real[2,3,3] x) => (real[2,3,3] y) <int64 k = {1}> { y = Trilu <upper = 0> (x, k) }',
    '(real[4,3] x) => (real[4,3] y) <int64 k = {-1}> { y = Trilu (x, k) }',
  ),
  ReverseSequence: of(
    '(real[4,3] x) => (real[4,3] y) <int64[3] l = {4,2,1}> { y = ReverseSequence (x, l) }',
    '(real[2,4] x) => (real[2,4] y) <int64[2] l = {3,2}> ' +
      '{ y = ReverseSequence <batch_axis = 0, time_axis = 1> (x, l) }',
    '(real[2,4,2] x) => (real[2,4,2] y) <int64[2] l = {1,4}> ' +
      '{ y = ReverseSequence <batch_axis = 0, time_axis = 1> (x, l) }',
  ),
  Gather: [
    picking('(real[5,3] x, int64[2,2] i) => (real[2,2,3] y) { y = Gather (x, i) }', [0, 4, 4, -1]),
    picking('(real[2,5,3] x, int64[3] i) => (real[2,3,3] y) { y = Gather <axis = 1> (x, i) }', [1, 1, -5]),
    picking('(real[2,5] x, int64 i) => (real[2] y) { y = Gather <axis = -1> (x, i) }', [3]),
    picking('(real[5] x, int64[4] i) => (real[4] y) { y = Gather (x, i) }', [3, 3, 3, 0]),
  ],
  GatherElements: [
    picking('(real[3,2] x, int64[2,2] i) => (real[2,2] y) { y = GatherElements (x, i) }', [0, 2, -1, 0]),
    picking(
      '(real[2,3] x, int64[2,4] i) => (real[2,4] y) { y = GatherElements <axis = 1> (x, i) }',
      [0, 0, 0, 2, -1, -1, 1, 1],
    ),
    picking('(real[4] x, int64[3] i) => (real[3] y) { y = GatherElements (x, i) }', [1, 1, 1]),
  ],
  GatherND: [
    picking('(real[3,4] x, int64[2,2] i) => (real[2] y) { y = GatherND (x, i) }', [0, 1, 2, 3]),
    picking('(real[3,4] x, int64[3,1] i) => (real[3,4] y) { y = GatherND (x, i) }', [1, 1, -1]),
    picking(
      '(real[2,3,4] x, int64[2,2,1] i) => (real[2,2,4] y) { y = GatherND <batch_dims = 1> (x, i) }',
      [0, 0, 2, 1],
    ),
    picking(
      '(real[2,3,4] x, int64[2,3,2,1] i) => (real[2,3,2] y) { y = GatherND <batch_dims = 2> (x, i) }',
      [0, 0, 1, 2, 3, 3, 1, 0, 2, 2, 1, 1],
    ),
  ],
  TopK: of(
    '(real[2,5] x) => (real[2,3] y) <int64[1] k = {3}> { y, i = TopK (x, k) }',
    '(real[4,3] x) => (real[2,3] y) <int64[1] k = {2}> { y, i = TopK <axis = 0, largest = 0> (x, k) }',
    '(real[6] x) => (real[4] y) <int64[1] k = {4}> { y, i = TopK <sorted = 0> (x, k) }',
  ),
  ScatterElements: [
    picking(
      '(real[3,3] x, int64[2,3] i, real[2,3] u) => (real[3,3] y) { y = ScatterElements (x, i, u) }',
      [0, 1, 2, 2, 0, 1],
    ),
    picking(
      '(real[2,4] x, int64[2,2] i, real[2,2] u) => (real[2,4] y) { y = ScatterElements <axis = 1> (x, i, u) }',
      [3, 0, 1, -2],
    ),
    picking(
      '(real[4] x, int64[3] i, real[3] u) => (real[4] y) { y = ScatterElements <reduction = "add"> (x, i, u) }',
      [1, 1, 3],
    ),
  ],
  ScatterND: [
    picking('(real[4,2] x, int64[2,1] i, real[2,2] u) => (real[4,2] y) { y = ScatterND (x, i, u) }', [1, 3]),
    picking('(real[3,2] x, int64[2,2] i, real[2] u) => (real[3,2] y) { y = ScatterND (x, i, u) }', [0, 1, 2, 0]),
    picking(
      '(real[4,2] x, int64[3,1] i, real[3,2] u) => (real[4,2] y) { y = ScatterND <reduction = "add"> (x, i, u) }',
      [1, 1, 3],
    ),
  ],
  Resize: [
    ...['half_pixel', 'pytorch_half_pixel', 'align_corners', 'asymmetric', 'half_pixel_symmetric'].flatMap((t) =>
      ['nearest', 'linear', 'cubic'].flatMap((mode) =>
        ['{1,1,2,2}', '{1,1,1.6,0.7}'].map((s): RuleCase => {
          const [h, w] = s === '{1,1,2,2}' ? [8, 10] : [6, 3];
          const attrs = `mode = "${mode}", coordinate_transformation_mode = "${t}"`;
          return {
            graph: `(real[1,2,4,5] x) => (real[1,2,${h},${w}] y) <float[4] s = ${s}> { y = Resize <${
              attrs
            }> (x, , s) }`,
            type: 'float',
          };
        }),
      ),
    ),
    ...['round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil'].map((n): RuleCase => ({
      graph:
        '(real[1,1,4,5] x) => (real[1,1,7,3] y) <int64[4] s = {1,1,7,3}> ' +
        `{ y = Resize <nearest_mode = "${n}"> (x, , , s) }`,
      type: 'float',
    })),
    {
      graph:
        '(real[1,1,4,5] x) => (real[1,1,9,7] y) <int64[2] s = {9,7}> { y = Resize <mode = "cubic", axes = [2,3], ' +
        'cubic_coeff_a = -0.5, exclude_outside = 1> (x, , , s) }',
      type: 'float',
    },
    {
      graph: '(real[1,2,3,3] x) => (real[1,2,6,9] y) <float[4] s = {1,1,2,3}> { y = Upsample (x, s) }',
      type: 'float',
      opset: 9,
    },
  ],
};
