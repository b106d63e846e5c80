"""Builds the model on PyTorch's quantized operators: load(folder) -> a function from tensors to a list of tensors.

Codes stay codes between layers; what has no quantized kernel is computed in float. Needs torch and numpy. The engine is
that of torch.backends.quantized.engine: x86, onednn, fbgemm or qnnpack.
"""
import math, os, sys
import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import program as files

Q = torch.ops.quantized


def load(folder=None):
    return Model(folder or os.path.dirname(os.path.abspath(__file__)))


class Model:
    def __init__(self, folder):
        self.program, self.tensors = files.read(folder)
        self.edges, self.packed = self.program['edges'], {}

    def __call__(self, *inputs):
        values = dict(zip(self.program['inputs'], inputs))
        with torch.no_grad():
            for layer in self.program['layers']:
                made = self.run(layer, values)
                for name, value in zip(layer['outputs'], made if isinstance(made, (list, tuple)) else [made]):
                    if name is not None: values[name] = value
            return [real(self.get(n, values)) for n in self.program['outputs']]

    def get(self, name, values):
        if name is None: return None
        if name not in values: values[name] = torch.from_numpy(np.array(self.tensors[self.edges[name]['constant']]))
        return values[name]

    def point(self, name):
        """Scale and zero point for codes of quint8; int8 codes are moved by 128. None for float."""
        e = self.edges[name]
        return (e['scale'], e['zeroPoint'] + (128 if e['codes'] == 'int8' else 0)) if 'scale' in e else None

    def codes(self, name, values):
        """A tensor in the codes of its edge, quantized where it was float."""
        v, p = self.get(name, values), self.point(name)
        if p is None or v.is_quantized: return v
        values[name] = torch.quantize_per_tensor(v, *p, torch.quint8)
        return values[name]

    def weight(self, layer):
        """Packed weight of a convolution or product in int8, and its float bias."""
        if layer['name'] in self.packed: return self.packed[layer['name']]
        c, attrs = layer['coded']['1'], layer['attrs']
        w, s = self.tensors[c['codes']], self.tensors[c['scales']].astype(np.float64)
        if layer['op'] != 'Conv' and not (layer['op'] == 'Gemm' and attrs.get('transB', 0)): w = w.T
        s = np.broadcast_to(s, (w.shape[0],)).copy()
        q = torch._make_per_channel_quantized_tensor(torch.from_numpy(np.ascontiguousarray(w)), torch.from_numpy(s), torch.zeros(len(s), dtype=torch.long), 0)
        bias = layer.get('coded', {}).get('2')
        b = self.tensors[bias['float']] if bias else self.tensors[self.edges[layer['inputs'][2]]['constant']] if len(layer['inputs']) > 2 and layer['inputs'][2] else None
        b = None if b is None else torch.from_numpy(np.array(b, dtype=np.float32).reshape(-1))
        if layer['op'] != 'Conv': made = Q.linear_prepack(q, b)
        else:
            before, after = files.pads(layer, 2)
            made = Q.conv2d_prepack(q, b, attrs.get('strides', [1, 1]), before if before == after else [0, 0], attrs.get('dilations', [1, 1]), attrs.get('group', 1))
        self.packed[layer['name']] = made
        return made

    def run(self, layer, values):
        op, ins, attrs = layer['op'], layer['inputs'], layer['attrs']
        out = self.point(layer['outputs'][0])
        low, high = layer.get('clamp', [None, None])
        relu = low == 0
        if op in ('Conv', 'Gemm', 'MatMul') and layer['integer'] and '1' in layer.get('coded', {}):
            x = self.codes(ins[0], values)
            if op == 'Conv':
                before, after = files.pads(layer, 2)
                if before != after: x = padded(x, [before[1], after[1], before[0], after[0]], 0.0)
                y = (Q.conv2d_relu if relu else Q.conv2d)(x, self.weight(layer), *out)
            elif out: y = (Q.linear_relu if relu else Q.linear)(x, self.weight(layer), *out)
            else: y = Q.linear_with_input_q_dq_qweight_dq_output_fp32(real(x), x.q_scale(), x.q_zero_point(), self.weight(layer))
            return clamped(y, None if relu else low, None)  # the range of the codes ends at `high`
        if op == 'Add' and layer['integer'] and out and all(i and self.point(i) for i in ins):
            a, b = (self.codes(i, values) for i in ins)
            if a.shape == b.shape: return clamped((Q.add_relu if relu else Q.add)(a, b, *out), None if relu else low, None)
        if layer['integer'] and op in MOVES:
            x = self.codes(ins[0], values)
            y = MOVES[op](self, layer, [x, *(self.get(i, values) for i in ins[1:])])
            return y
        x = [self.float_input(layer, k, i, values) for k, i in enumerate(ins)]
        y = clamped(FLOATS[op](self, layer, x), low, high)
        many = y if isinstance(y, (list, tuple)) else [y]
        return [torch.quantize_per_tensor(v.float(), *self.point(n), torch.quint8) if n and self.point(n) and layer['integer'] else v for n, v in zip(layer['outputs'], many)]

    def float_input(self, layer, k, name, values):
        c = layer.get('coded', {}).get(str(k))
        if c and 'float' in c: return torch.from_numpy(np.array(self.tensors[c['float']]))
        if c:
            w, s = self.tensors[c['codes']].astype(np.float64), self.tensors[c['scales']].astype(np.float64)
            z = np.array(c['zeroPoints'], dtype=np.float64)
            if c['axis'] is not None and s.size > 1:
                shape = [1] * w.ndim
                shape[c['axis']] = -1
                s, z = s.reshape(shape), z.reshape(shape)
            return torch.from_numpy(((w - z) * s).astype(np.float32))
        if name is None: return None
        v = self.codes(name, values) if layer['integer'] else self.get(name, values)
        return real(v)


def real(v): return v.dequantize() if v is not None and v.is_quantized else v


def clamped(v, low, high):
    if low is None and high is None or isinstance(v, (list, tuple)): return v
    return torch.clamp(v, low, high)


def padded(x, p, value):
    """p: [left, right, top, bottom, ...], on codes too: the zero point is the number 0."""
    if not x.is_quantized: return F.pad(x, p, value=value)
    code = min(255, max(0, round(value / x.q_scale()) + x.q_zero_point()))
    return torch._make_per_tensor_quantized_tensor(F.pad(x.int_repr(), p, value=code), x.q_scale(), x.q_zero_point())


def reshape(model, layer, x):
    """0 stands for the size of the input. A model that is fixed to one sample takes more of them on its first axis."""
    v, wanted = x[0], x[1].tolist()
    if not layer['attrs'].get('allowzero', 0): wanted = [v.shape[i] if d == 0 else d for i, d in enumerate(wanted)]
    given = model.edges[layer['inputs'][0]]['shape']
    if model.program['oneSample'] and wanted and given and wanted[0] == given[0] == 1: wanted[0] = v.shape[0]
    return v.reshape(wanted)


def flatten(model, layer, x):
    v, axis = x[0], layer['attrs'].get('axis', 1)
    lead = v.shape[:axis % v.dim() if axis < 0 else axis]
    return v.reshape(math.prod(lead), -1)


def squeeze(model, layer, x):
    v, axes = x[0], axes_of(layer, x)
    gone = {a % v.dim() for a in axes} if axes is not None else {i for i, d in enumerate(v.shape) if d == 1}
    return v.reshape([d for i, d in enumerate(v.shape) if i not in gone])


def unsqueeze(model, layer, x):
    v, axes = x[0], axes_of(layer, x)
    rank = v.dim() + len(axes)
    new, old = {a % rank for a in axes}, iter(v.shape)
    return v.reshape([1 if i in new else next(old) for i in range(rank)])


def axes_of(layer, x, at=1):
    a = layer['attrs'].get('axes')
    return a if a is not None else x[at].tolist() if len(x) > at and x[at] is not None else None


def pool(kind):
    def run(model, layer, x):
        a = layer['attrs']
        before, after = files.pads(layer, 2)
        v, k, s = x[0], a['kernel_shape'], a.get('strides', [1, 1])
        if kind == 'max':
            if before != after: v, before = padded(v, [before[1], after[1], before[0], after[0]], -float('inf')), [0, 0]
            return F.max_pool2d(v, k, s, before, a.get('dilations', [1, 1]), bool(a.get('ceil_mode', 0)))
        v = real(v)
        if before != after: v, before = F.pad(v, [before[1], after[1], before[0], after[0]]), [0, 0]
        return F.avg_pool2d(v, k, s, before, bool(a.get('ceil_mode', 0)), bool(a.get('count_include_pad', 0)))
    return run


def sliced(model, layer, x):
    v, starts, ends = x[0], x[1].tolist(), x[2].tolist()
    axes = x[3].tolist() if len(x) > 3 and x[3] is not None else range(len(starts))
    steps = x[4].tolist() if len(x) > 4 and x[4] is not None else [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps):
        n = v.shape[axis]
        places = list(range(n))[slice(start if start >= -n else None, end if end >= -n else None, step)]
        v = v.index_select(axis, torch.tensor(places)) if step < 0 else v[(slice(None),) * (axis % v.dim()) + (slice(places[0], places[-1] + 1, step) if places else slice(0, 0),)]
    return v


def pad(model, layer, x):
    p = [int(n) for n in x[1]]
    h = len(p) // 2
    order = [n for k in range(h - 1, -1, -1) for n in (p[k], p[h + k])]
    mode = layer['attrs'].get('mode', 'constant')
    if mode != 'constant': return F.pad(real(x[0]), order, mode={'edge': 'replicate'}.get(mode, mode))
    return padded(x[0], order, float(x[2]) if len(x) > 2 and x[2] is not None else 0.0)


def split(model, layer, x):
    axis, n = layer['attrs'].get('axis', 0), len(layer['outputs'])
    sizes = x[1].tolist() if len(x) > 1 and x[1] is not None else layer['attrs'].get('split')
    each = -(-x[0].shape[axis] // n)
    return torch.split(x[0], each if sizes is None else sizes, axis)


def gather(model, layer, x):
    v, places, axis = x[0], x[1], layer['attrs'].get('axis', 0) % x[0].dim()
    flat = places.reshape(-1).long()
    flat = torch.where(flat < 0, flat + v.shape[axis], flat)
    return torch.index_select(v, axis, flat).reshape([*v.shape[:axis], *places.shape, *v.shape[axis + 1:]])


def expand(model, layer, x): return x[0].expand(torch.broadcast_shapes(x[0].shape, x[1].tolist()))


def shape(model, layer, x):
    a = layer['attrs']
    return torch.tensor(list(x[0].shape)[a.get('start', 0):a.get('end')], dtype=torch.int64)


def filled(model, layer, x):
    value = layer['attrs'].get('value', dict(number=0, dtype='float32'))
    return torch.full(x[0].tolist(), value['number'], dtype=getattr(torch, value['dtype']))


def span(model, layer, x): return torch.arange(*(v.item() for v in x), dtype=x[0].dtype)


def divide(model, layer, x):
    """Of integers, towards zero."""
    return torch.div(x[0], x[1], rounding_mode=None if x[0].is_floating_point() else 'trunc')


def reduce(f):
    def run(model, layer, x):
        axes = axes_of(layer, x)
        return f(x[0], axes if axes else list(range(x[0].dim())), bool(layer['attrs'].get('keepdims', 1)))
    return run


def resize(model, layer, x):
    size = model.edges[layer['outputs'][0]]['shape'][2:]
    a = layer['attrs']
    if a.get('mode', 'nearest') == 'nearest': return F.interpolate(x[0], size=size, mode='nearest')
    return F.interpolate(real(x[0]), size=size, mode='bilinear', align_corners=a.get('coordinate_transformation_mode') == 'align_corners')


def convolution(model, layer, x):
    a = layer['attrs']
    before, after = files.pads(layer, 2)
    v = F.pad(x[0], [before[1], after[1], before[0], after[0]])
    return F.conv2d(v, x[1], x[2] if len(x) > 2 else None, a.get('strides', [1, 1]), 0, a.get('dilations', [1, 1]), a.get('group', 1))


def gemm(model, layer, x):
    a = layer['attrs']
    p = (x[0].T if a.get('transA', 0) else x[0]) @ (x[1].T if a.get('transB', 0) else x[1]) * a.get('alpha', 1.0)
    return p + a.get('beta', 1.0) * x[2] if len(x) > 2 and x[2] is not None else p


def layer_norm(model, layer, x):
    axis = layer['attrs'].get('axis', -1) % x[0].dim()
    return F.layer_norm(x[0], x[0].shape[axis:], x[1], x[2] if len(x) > 2 else None, layer['attrs'].get('epsilon', 1e-5))


CASTS = {1: torch.float32, 3: torch.int8, 6: torch.int32, 7: torch.int64, 9: torch.bool, 10: torch.float16, 11: torch.float64}
one = lambda f: lambda model, layer, x: f(x[0])
two = lambda f: lambda model, layer, x: f(x[0], x[1])
# What moves or selects codes.
MOVES = {
    'Reshape': reshape, 'Flatten': flatten, 'Squeeze': squeeze, 'Unsqueeze': unsqueeze, 'Slice': sliced, 'Pad': pad, 'MaxPool': pool('max'), 'Split': split,
    'Transpose': lambda model, layer, x: x[0].permute(layer['attrs'].get('perm', list(range(x[0].dim()))[::-1])),
    'Relu': one(torch.relu), 'Identity': one(lambda v: v),
}
FLOATS = {
    **MOVES, 'Conv': convolution, 'Gemm': gemm, 'MatMul': two(torch.matmul), 'Add': two(torch.add), 'Sub': two(torch.sub), 'Mul': two(torch.mul), 'Div': divide, 'Pow': two(torch.pow),
    'AveragePool': pool('average'), 'GlobalAveragePool': one(lambda v: v.mean([2, 3], keepdim=True)), 'ReduceMean': reduce(torch.mean), 'ReduceSum': reduce(torch.sum),
    'Softmax': lambda model, layer, x: torch.softmax(x[0], layer['attrs'].get('axis', -1)), 'Sigmoid': one(torch.sigmoid), 'Tanh': one(torch.tanh), 'Erf': one(torch.erf), 'Sqrt': one(torch.sqrt),
    'Exp': one(torch.exp), 'Log': one(torch.log), 'Neg': one(torch.neg), 'Abs': one(torch.abs), 'Reciprocal': one(torch.reciprocal),
    'HardSwish': one(F.hardswish), 'HardSigmoid': lambda model, layer, x: torch.clamp(x[0] * layer['attrs'].get('alpha', 0.2) + layer['attrs'].get('beta', 0.5), 0, 1),
    'LeakyRelu': lambda model, layer, x: F.leaky_relu(x[0], layer['attrs'].get('alpha', 0.01)), 'Gelu': lambda model, layer, x: F.gelu(x[0], approximate=layer['attrs'].get('approximate', 'none')),
    'Clip': lambda model, layer, x: torch.clamp(x[0], *(None if v is None else float(v) for v in (x + [None, None])[1:3])),
    'Concat': lambda model, layer, x: torch.cat(x, layer['attrs']['axis']), 'Gather': gather,
    'LayerNormalization': layer_norm, 'Resize': resize, 'Where': lambda model, layer, x: torch.where(x[0].bool(), x[1], x[2]), 'Cast': lambda model, layer, x: x[0].to(CASTS[layer['attrs']['to']]),
    'Expand': expand, 'Shape': shape, 'Size': one(lambda v: torch.tensor(v.numel())), 'ConstantOfShape': filled, 'Range': span, 'Equal': two(torch.eq), 'Greater': two(torch.gt), 'GreaterOrEqual': two(torch.ge),
    'Less': two(torch.lt), 'LessOrEqual': two(torch.le), 'And': two(torch.logical_and), 'Or': two(torch.logical_or), 'Not': one(torch.logical_not), 'Min': two(torch.minimum), 'Max': two(torch.maximum),
}
