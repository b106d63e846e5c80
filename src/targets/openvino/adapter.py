"""OpenVINO on the CPU. Float layers stay float32, where the CPU could compute them in bfloat16."""
import openvino as ov

COMPUTE = {'Convolution', 'GroupConvolution', 'Deconvolution', 'FullyConnected', 'MatMul', 'ScaledDotProductAttention', 'RNNSeq', 'RNNCell'}


class Model:
    def __init__(self, path, threads):
        self.version = ov.__version__.split('-')[0]
        model = ov.Core().read_model(path)
        self.products = {op.get_friendly_name() for op in model.get_ops() if op.get_type_name() in ('MatMul', 'Convolution', 'GroupConvolution')}
        shape = model.inputs[0].partial_shape
        self.batch = None if len(shape) == 0 or shape[0].is_dynamic else shape[0].get_length()
        self.inputs = [(i.any_name, i.element_type.to_dtype()) for i in model.inputs]
        settings = {'INFERENCE_PRECISION_HINT': 'f32', 'INFERENCE_NUM_THREADS': threads, 'PERFORMANCE_HINT': 'LATENCY'}
        self.compiled = ov.Core().compile_model(model, 'CPU', settings)
        self.request = self.compiled.create_infer_request()

    def run(self, feeds):
        self.request.infer({i: feeds[name].astype(dtype, copy=False) for i, (name, dtype) in enumerate(self.inputs)}, share_inputs=True)
        return [self.request.get_output_tensor(i).data.copy() for i in range(len(self.compiled.outputs))]

    def evidence(self, feeds):
        self.run(feeds)
        integer, floats = [], []
        for op in self.compiled.get_runtime_model().get_ops():
            info = op.get_rt_info()
            kind, precision, primitive = (str(info[k].astype(str)) if k in info else '' for k in ('layerType', 'runtimePrecision', 'primitiveType'))
            row = f'{op.get_friendly_name()} {kind} {precision} {primitive}'
            in_integers = primitive.lower().endswith(('_i8', '_u8')) or precision.lower() in ('i8', 'u8')
            if kind == 'Subgraph':  # fused attention: its products have no layer of their own
                inside = [n for n in str(info['originalLayersNames'].astype(str)).split(',') if n in self.products]
                (integer if in_integers else floats).extend(f'{n} {row}' for n in inside)
            elif kind in COMPUTE: (integer if in_integers else floats).append(row)
        return dict(how='precision and primitive of each layer of the compiled model', integer=integer, floats=floats)


def open(path, threads): return Model(path, threads)
