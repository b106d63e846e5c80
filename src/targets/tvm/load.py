"""Lowers the model for Apache TVM with integer kernels: load(folder, batch) -> (IRModule, parameters or None).

Convolutions and products take int8 and give int32; what follows scales, adds the bias, and rounds. Needs tvm and numpy.
"""
import os, sys
import numpy as np
import tvm
from tvm import relax, te, topi
from tvm.relax import op

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import program as files


# Its name until 0.26.
Typed = relax.TensorType if hasattr(relax, 'TensorType') else relax.TensorStructInfo
out_ty = Typed


def load(folder=None, batch=1):
    program, tensors = files.read(folder or os.path.dirname(os.path.abspath(__file__)))
    if batch != 1: raise ValueError('the model is lowered for one sample at a time')
    return Lowering(program, tensors).module(), None


class Lowering:
    def __init__(self, program, tensors):
        self.program, self.tensors, self.edges = program, tensors, program['edges']
        self.real, self.code, self.b, self.kernels = {}, {}, relax.BlockBuilder(), 0

    def module(self):
        b = self.b
        ins = [relax.Var(f'in{i}', Typed(self.edges[n]['shape'], self.edges[n]['dtype'])) for i, n in enumerate(self.program['inputs'])]
        with b.function('main', ins):
            with b.dataflow():
                self.real.update(zip(self.program['inputs'], ins))
                for layer in self.program['layers']: self.lower(layer)
                outs = [self.float(n) for n in self.program['outputs']]
                result = b.emit_output(outs[0] if len(outs) == 1 else relax.Tuple(outs))
            b.emit_func_output(result)
        return b.get()

    def emit(self, e): return self.b.emit(e)
    def const(self, v, dtype=None): return relax.const(np.ascontiguousarray(v if dtype is None else np.asarray(v, dtype)))

    def float(self, name):
        """A tensor in float: as it was made, a constant, or its codes dequantized."""
        if name not in self.real:
            e = self.edges[name]
            if 'constant' in e: self.real[name] = self.const(self.tensors[e['constant']])
            else: self.real[name] = self.emit(op.multiply(op.astype(self.code[name], 'float32'), self.const(e['scale'], 'float32')))
        return self.real[name]

    def codes(self, name):
        """A tensor in int8 codes of its edge; zero points are 0."""
        if name not in self.code: self.code[name] = self.rounded(self.float(name), name)
        return self.code[name]

    def rounded(self, v, name, low=None, high=None):
        """Codes of a float value: half to even, as everywhere."""
        s = self.edges[name]['scale']
        q = op.round(op.divide(v, self.const(s, 'float32')))
        return self.emit(op.astype(op.clip(q, *ends(s, low, high)), 'int8'))

    def lower(self, layer):
        name, ins, attrs = layer['op'], layer['inputs'], layer['attrs']
        out = layer['outputs'][0]
        low, high = layer.get('clamp', [None, None])
        quantized = 'scale' in self.edges[out]
        if name in ('Conv', 'Gemm', 'MatMul') and layer['integer'] and '1' in layer.get('coded', {}):
            v = self.product(layer)
            if quantized: self.code[out] = self.rounded(v, out, low, high)
            else: self.real[out] = self.limited(v, low, high)
            return
        if layer['integer'] and name in MOVES:
            self.code[out] = self.emit(MOVES[name](self, layer, [self.codes(ins[0])]))
            return
        v = FLOATS[name](self, layer, [self.operand(layer, k, i) for k, i in enumerate(ins)])
        if layer['integer'] and quantized: self.code[out] = self.rounded(v, out, low, high)
        else: self.real[out] = self.emit(self.limited(v, low, high))

    def operand(self, layer, k, name):
        """An input in float; a constant in codes as what its codes mean."""
        c = layer.get('coded', {}).get(str(k))
        if c and 'float' in c: return self.const(self.tensors[c['float']])
        if c:
            w, s = self.tensors[c['codes']].astype(np.float64), self.tensors[c['scales']].astype(np.float64)
            if c['axis'] is not None and s.size > 1: s = s.reshape([-1 if i == c['axis'] else 1 for i in range(w.ndim)])
            return self.const(w * s, 'float32')
        if name is None: return None
        if layer['integer'] and 'scale' in self.edges[name]:
            self.codes(name)
            return self.decoded(name)
        return self.float(name)

    def decoded(self, name):
        return self.emit(op.multiply(op.astype(self.code[name], 'float32'), self.const(self.edges[name]['scale'], 'float32')))

    def limited(self, v, low, high):
        if low is not None: v = op.maximum(v, self.const(low, 'float32'))
        return v if high is None else op.minimum(v, self.const(high, 'float32'))

    def product(self, layer):
        """int8 × int8 in int32, then its scales and the bias in float."""
        ins, attrs, c = layer['inputs'], layer['attrs'], layer['coded']['1']
        w, s = self.tensors[c['codes']], self.tensors[c['scales']].astype(np.float64) * self.edges[ins[0]]['scale']
        x = self.codes(ins[0])
        data = te.placeholder(self.edges[ins[0]]['shape'], 'int8', 'data')
        if layer['op'] == 'Conv':
            before, after = files.pads(layer, 2)
            kernel, shape = te.placeholder(w.shape, 'int8', 'kernel'), [1, -1, 1, 1]
            made = topi.nn.conv(data, kernel, attrs.get('strides', [1, 1]), [*before, *after], attrs.get('dilations', [1, 1]), attrs.get('group', 1), 'NCHW', 'OIHW', 'int32')
        else:
            if layer['op'] == 'Gemm' and attrs.get('transB', 0): w = w.T
            kernel, shape = te.placeholder(w.shape, 'int8', 'kernel'), [1, -1]
            k = te.reduce_axis((0, w.shape[0]), 'k')
            lead = self.edges[ins[0]]['shape'][:-1]
            made = te.compute((*lead, w.shape[1]), lambda *i: te.sum(data[(*i[:-1], k)].astype('int32') * kernel[k, i[-1]].astype('int32'), k), 'product')
            shape = [1] * len(lead) + [-1]
        y = self.kernel('conv2d' if layer['op'] == 'Conv' else 'matmul', [data, kernel, made], [x, self.const(w)])
        v = op.multiply(op.astype(self.emit(y), 'float32'), self.const(s.reshape(shape) if s.size > 1 else s.reshape([1] * len(shape)), 'float32'))
        bias = layer['coded'].get('2')
        b = self.tensors[bias['float']] if bias else self.tensors[self.edges[ins[2]]['constant']] if len(ins) > 2 and ins[2] else None
        return self.emit(v if b is None else op.add(v, self.const(np.asarray(b, np.float32).reshape(shape))))

    def kernel(self, name, tensors, args):
        """An integer kernel of its own: nothing is fused into it, so that its types stay what they are."""
        self.kernels += 1
        name = f'{name}_int8_{self.kernels}'
        f = te.create_prim_func(tensors).with_attr({'op_pattern': 8, 'global_symbol': name})
        shape = [int(d) for d in tensors[-1].shape]
        return relax.call_tir(self.b.add_func(f, name), args, out_ty(shape, 'int32'))

    def ints(self, layer, i):
        name = layer['inputs'][i] if len(layer['inputs']) > i else None
        return None if name is None else [int(v) for v in np.asarray(self.tensors[self.edges[name]['constant']]).reshape(-1)]


def shaped(m, layer, x): return op.reshape(x[0], m.edges[layer['outputs'][0]]['shape'])


def sliced(m, layer, x):
    starts, ends, axes, steps = (m.ints(layer, i) for i in (1, 2, 3, 4))
    axes = axes or list(range(len(starts)))
    shape = m.edges[layer['inputs'][0]]['shape']
    ends = [min(e, shape[a]) if e >= 0 else e for e, a in zip(ends, axes)]
    return op.strided_slice(x[0], axes, starts, ends, steps or [1] * len(axes))


def pad(m, layer, x):
    p = m.ints(layer, 1)
    h = len(p) // 2
    return op.nn.pad(x[0], [n for k in range(h) for n in (p[k], p[h + k])], pad_value=0)


def window(layer):
    a = layer['attrs']
    before, after = files.pads(layer, 2)
    return dict(pool_size=a['kernel_shape'], strides=a.get('strides', [1, 1]), padding=[*before, *after], ceil_mode=bool(a.get('ceil_mode', 0)))


def convolution(m, layer, x):
    a = layer['attrs']
    before, after = files.pads(layer, 2)
    y = op.nn.conv2d(x[0], x[1], strides=a.get('strides', [1, 1]), padding=[*before, *after], dilation=a.get('dilations', [1, 1]), groups=a.get('group', 1))
    return op.add(y, op.reshape(x[2], [1, -1, 1, 1])) if len(x) > 2 and x[2] is not None else y


def gemm(m, layer, x):
    p = op.matmul(x[0], op.permute_dims(x[1]) if layer['attrs'].get('transB', 0) else x[1])
    return op.add(p, x[2]) if len(x) > 2 and x[2] is not None else p


def reduced(m, layer, x):
    axes = layer['attrs'].get('axes') or m.ints(layer, 1)
    return op.mean(x[0], axes, bool(layer['attrs'].get('keepdims', 1)))


def ends(s, low, high):
    """Codes at limits, of a scale."""
    return -128 if low is None else max(-128, int(np.rint(low / s))), 127 if high is None else min(127, int(np.rint(high / s)))


def bounds(m, layer):
    """Of a Relu or Clip: attributes once, inputs since opset 11."""
    if layer['op'] == 'Relu': return 0, None
    named = [layer['attrs'].get(k) for k in ('min', 'max')]
    ins = [m.edges[n]['constant'] if n else None for n in (layer['inputs'][1:] + [None, None])[:2]]
    return [float(np.asarray(m.tensors[c]).reshape(-1)[0]) if c else a for a, c in zip(named, ins)]


def clipped(m, layer, x):
    return m.limited(x[0], *bounds(m, layer))


def clipped_codes(m, layer, x):
    """The scale of the output is that of the input."""
    s, (low, high) = m.edges[layer['inputs'][0]]['scale'], bounds(m, layer)
    floor, top = ends(s, low, high)
    return op.minimum(op.maximum(x[0], m.const(floor, 'int8')), m.const(top, 'int8'))


one = lambda f: lambda m, layer, x: f(x[0])
two = lambda f: lambda m, layer, x: f(x[0], x[1])
MOVES = {
    'Relu': clipped_codes, 'Clip': clipped_codes, 'MaxPool': lambda m, layer, x: op.nn.max_pool2d(x[0], **window(layer)),
    'Reshape': shaped, 'Flatten': shaped, 'Squeeze': shaped, 'Unsqueeze': shaped, 'Slice': sliced, 'Pad': pad,
    'Transpose': lambda m, layer, x: op.permute_dims(x[0], layer['attrs'].get('perm')),
}
FLOATS = {
    **MOVES, 'Relu': clipped, 'Clip': clipped, 'Conv': convolution, 'Gemm': gemm, 'MatMul': two(op.matmul), 'Add': two(op.add), 'Sub': two(op.subtract), 'Mul': two(op.multiply), 'Div': two(op.divide),
    'Sigmoid': one(op.sigmoid), 'Tanh': one(op.tanh), 'Sqrt': one(op.sqrt), 'Exp': one(op.exp), 'Erf': one(op.erf),
    'AveragePool': lambda m, layer, x: op.nn.avg_pool2d(x[0], **window(layer), count_include_pad=bool(layer['attrs'].get('count_include_pad', 0))),
    'GlobalAveragePool': one(lambda v: op.mean(v, [2, 3], True)), 'ReduceMean': reduced, 'Softmax': lambda m, layer, x: op.nn.softmax(x[0], layer['attrs'].get('axis', -1)),
    'Concat': lambda m, layer, x: op.concat(x, layer['attrs']['axis']), 'Identity': one(lambda v: v),
}
