/** Operators that move elements or compute shapes, and control flow. */
import { at, here, type FacetCase } from './case.js';

export const shapeCases: readonly FacetCase[] = [
  here(
    '(float[N,3,4] x) => (y, z) <int64[2] a = {0,-1}, int64[3] b = {-1,2,6}> { y = Reshape(x, a)  z = Reshape(x, b) }',
  ),
  here(
    '(float[N,3,4] x) => (y) <int64[1] d = {12}, int64[1] i = {0}> { s = Shape(x)  n = Gather(s, i)  t = ' +
      'Concat <axis = 0> (n, d)  y = Reshape(x, t) }',
  ),
  here('(float[2,0,3] x) => (y) <int64[2] a = {0,7}> { y = Reshape <allowzero = 1> (x, a) }'),
  at(1)('(float[2,6] x) => (y) { y = Reshape <shape = [3,-1]> (x) }'),
  here(
    '(float[N,3,4] x) => (y, z, a, b) { y = Flatten(x)  z = Flatten <axis = 0> (x)  a = Flatten <axis = ' +
      '-1> (x)  b = Flatten <axis = 3> (x) }',
    { whileSymbolic: ['z', 'a', 'b'] },
  ),
  here('(float[N,3,4] x) => (y, z) { y = Transpose <perm = [1,2,0]> (x)  z = Transpose(x) }'),
  here('(float[1,N,1,4] x) => (y, z) <int64[2] a = {0,-2}> { y = Squeeze(x, a)  z = Unsqueeze(y, a) }'),
  here('(float[1,3,1] x) => (y) { y = Squeeze(x) }'),
  at(11)('(float[1,N,1,4] x) => (y, z) { y = Squeeze <axes = [0,2]> (x)  z = Unsqueeze <axes = [-1,1]> (x) }'),
  here(
    '(float[N,8,9] x) => (y) <int64[2] s = {1,-2}, int64[2] e = {7,-9}, int64[2] a = {1,-1}, int64[2] t = ' +
      '{2,-3}> { y = Slice(x, s, e, a, t) }',
  ),
  here(
    '(float[N,8,9] x) => (y, z) <int64[1] s = {-3}, int64[1] e = {9223372036854775807}, int64[1] a = {2}, ' +
      'int64[1] f = {20}> { y = Slice(x, s, e, a)  z = Slice(x, f, e, a) }',
  ),
  here(
    '(float[5,6] x) => (y, z) <int64[1] s = {9}, int64[1] e = {-9223372036854775807}, int64[1] a = {0}, ' +
      'int64[1] t = {-2}, int64[2] p = {1,2}, int64[2] q = {3,-1}> { y = Slice(x, s, e, a, t)  z = Slice(x, ' +
      'p, q) }',
  ),
  at(9)('(float[N,8,9] x) => (y) { y = Slice <starts = [2,1], ends = [5,-1], axes = [2,1]> (x) }'),
  here(
    '(float[N,3,4] x, int64[5,2] i, int64 k) => (y, z, f) { y = Gather <axis = 1> (x, i)  z = Gather ' +
      '<axis = -1> (x, k)  f = Gather(x, k) }',
  ),
  here('(float[N,3] x, int64[1,2] i) => (y) { y = GatherElements <axis = 1> (x, i) }'),
  here(
    '(float[2,3,4] x, int64[5,2] i, int64[2,5,1] j) => (y, z) { y = GatherND(x, i)  z = GatherND ' +
      '<batch_dims = 1> (x, j) }',
  ),
  here('(float[N,3,4] x, float[N,2,4] z) => (y, w) { y = Concat <axis = 1> (x, z)  w = Concat <axis = -2> (z, x, z) }'),
  here(
    '(float[N,7,4] x) => (a, b, c, d, e) <int64[2] s = {3,4}> { a, b, c = Split <axis = 1, num_outputs = ' +
      '3> (x)  d, e = Split <axis = -2> (x, s) }',
  ),
  at(13)('(float[N,6] x) => (a, b) { a, b = Split <axis = 1> (x) }'),
  at(11)('(float[N,6] x) => (a, b) { a, b = Split <axis = 1, split = [5,1]> (x) }'),
  here('(float[N,3,4] x) => (y) <int64[6] p = {0,1,2,0,0,-1}> { y = Pad(x, p) }'),
  here(
    '(float[N,3,4] x) => (y) <int64[4] p = {1,2,1,0}, float v = {1}, int64[2] a = {-1,1}> { y = Pad <mode ' +
      '= "reflect"> (x, p, v, a) }',
  ),
  at(10)('(float[N,3] x) => (y) { y = Pad <pads = [0,1,0,2]> (x) }'),
  here(
    '(float[3,1] x, float[N,1] z) => (y, w) <int64[3] s = {2,1,4}, int64[2] t = {1,5}> { y = Expand(x, s) ' +
      ' w = Expand(z, t) }',
  ),
  here('(float[2,3] x) => (y) <int64[2] r = {2,3}> { y = Tile(x, r) }'),
  here('(float[N,3] x) => (y) <int64[2] r = {1,3}> { y = Tile(x, r) }', { whileSymbolic: ['y'] }),
  here(
    '(float[N,3,4] x) => (a, b, c, d) { a = Shape(x)  b = Shape <start = 1> (x)  c = Shape <start = -2, ' +
      'end = -1> (x)  d = Size(x) }',
  ),
  here('() => (y, z) <int64[2] s = {2,3}> { y = ConstantOfShape(s)  z = ConstantOfShape <value = int64[1] {7}> (s) }'),
  here(
    '() => (y, z) <int64 a = {1}, int64 b = {8}, int64 c = {3}, int64 d = {-3}> { y = Range(a, b, c)  z = ' +
      'Range(b, a, d) }',
  ),
  here('() => (y) <float a = {0}, float b = {1}, float c = {0.3}> { y = Range(a, b, c) }', { open: { y: [null] } }),
  here(
    '(int64[N,3] x) => (y, z) <int64 d = {5}, float[2] v = {0,1}> { y = OneHot(x, d, v)  z = OneHot <axis ' +
      '= 1> (x, d, v) }',
  ),
  here('(float[N,3] x) => (y) { y = NonZero(x) }', { open: { y: [2, null] } }),
  here('(float[N,3,6] x) => (v, i, w, j) <int64[1] k = {2}> { v, i = TopK(x, k)  w, j = TopK <axis = 1> (x, k) }'),
  at(9)('(float[N,6] x) => (v, i) { v, i = TopK <k = 3> (x) }'),
  here('(float[2,3] x, int64[1,2] i, float[1,2] u) => (y) { y = ScatterElements <axis = 1> (x, i, u) }'),
  at(9)('(float[2,3] x, int64[1,2] i, float[1,2] u) => (y) { y = Scatter <axis = 1> (x, i, u) }'),
  here('(float[4,3] x, float[2,3] u) => (y) <int64[2,1] i = {1,3}> { y = ScatterND(x, i, u) }'),
  here('(float[N,3] x) => (y) <int64 a = {1}> { y = CumSum(x, a) }'),
  here('(float[N,3,3] x) => (y) { y = Trilu(x) }'),
  here('(float[4,2,3] x) => (y) <int64[2] l = {1,2}> { y = ReverseSequence(x, l) }'),

  here(
    '() => (a, b, c, d, e) { a = Constant <value = uint8[2] {1,2}> ()  b = Constant <value_int = 3> ()  c ' +
      '= Constant <value_ints = [1,2,3]> ()  d = Constant <value_float = 1.5> ()  e = Constant ' +
      '<value_floats = [1.0,2.0]> () }',
  ),
  here(
    '(bool c, float[2,3] x) => (y) { y = If (c) <then_branch = t () => (float[2,3] p) { p = Relu(x) }, ' +
      'else_branch = e () => (float[2,3] q) { q = Neg(x) }> }',
  ),
  here(
    '(bool c, float[2,3] x, float[2,4] z) => (y) { y = If (c) <then_branch = t () => (p) { p = Relu(x) }, ' +
      'else_branch = e () => (q) { q = Neg(z) }> }',
    { open: { y: [2, null] } },
  ),
  here(
    '(float[2] x) => (y, z) <int64 n = {3}, bool c = {1}> { y, z = Loop (n, c, x) <body = b (int64 i, ' +
      'bool k, float[2] s) => (bool k2, float[2] t, float[2] o) { k2 = Identity(k)  t = Relu(s)  o = Neg(s) ' +
      '}> }',
    { open: { y: undefined, z: [null, 2] } },
  ),
  here(
    '(float[2] s, float[S,2] x) => (y, z) { y, z = Scan (s, x) <num_scan_inputs = 1, body = b (float[2] ' +
      'a, float[2] e) => (float[2] t, float[2] o) { t = Add(a, e)  o = Identity(t) }> }',
  ),
  here(
    '(float[2,S] x) => (z) { z = Scan (x) <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = ' +
      '[-1], body = b (float[2] e) => (float[2] o) { o = Neg(e) }> }',
  ),

  // Shape arithmetic: the contents are known without running anything.
  ...['Add', 'Sub', 'Mul', 'Div', 'Equal'].flatMap((op) => [
    here(`(float[4,6] x) => (y) <int64[2] k = {4,3}> { s = Shape(x)  y = ${op}(s, k) }`, { contents: 4 }),
    here(`(float[4,6] x) => (y) <int64[1] k = {3}> { s = Shape(x)  y = ${op}(k, s) }`, { contents: 4 }),
    here(`(float[N,6] x) => (y) <int64 k = {1}> { s = Shape(x)  y = ${op}(s, k) }`, { contents: 4 }),
    here(`(float[N,6] x) => (y) <int64 k = {0}> { s = Shape(x)  y = ${op === 'Div' ? 'Mul' : op}(s, k) }`, {
      contents: 4,
    }),
  ]),
  here('() => (y, z) <int64[3] a = {-7,7,-1}, int64[3] b = {2,-2,3}> { y = Div(a, b)  z = Sub(a, b) }', {
    contents: 6,
  }),
  here(
    '(float[4,6,2] x) => (y) <int64[3] t = {4,5,2}, int64[1] k = {9}> { s = Shape(x)  c = Equal(s, t)  y ' +
      '= Where(c, s, k) }',
    { contents: 9 },
  ),
  here(
    '(float[4,6,2] x) => (y, z, w) <int64[1] a = {0}, int64[2] i = {-1,0}, int64[1] b = {1}, int64[1] e = ' +
      '{3}> { s = Shape(x)  y = Gather(s, i)  z = Slice(s, b, e)  c = Concat <axis = 0> (z, y, b)  k = ' +
      'Gather(s, b)  q = Squeeze(k, a)  w = Unsqueeze(q, a)  n = Size(x)  f = Cast <to = 6> (c) }',
    { contents: 21 },
  ),
  here(
    '(float[4,6,2] x) => (y, z) <int64[1] b = {-2}, int64[1] e = {-1}, int64[1] g = {9}> { s = Shape(x)  ' +
      'y = Slice(s, b, e)  z = Slice(s, b, g) }',
    { contents: 6 },
  ),
  here('() => (y) <int64[1] n = {3}> { y = ConstantOfShape <value = int64[1] {7}> (n) }', { contents: 3 }),
];
