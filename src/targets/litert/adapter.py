"""LiteRT on the CPU, with XNNPACK. Images are given in the order of ONNX, and turned to channels last where the file has them so."""
import numpy as np
from importlib.metadata import version
from ai_edge_litert.interpreter import Interpreter, OpResolverType

COMPUTE = {'CONV_2D', 'DEPTHWISE_CONV_2D', 'TRANSPOSE_CONV', 'FULLY_CONNECTED', 'BATCH_MATMUL'}


class Model:
    def __init__(self, path, threads):
        self.version, self.path = version('ai-edge-litert'), path
        self.interpreter = Interpreter(model_path=path, num_threads=threads)
        self.interpreter.allocate_tensors()
        self.inputs, self.outputs = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        self.batch = int(self.inputs[0]['shape'][0]) if len(self.inputs[0]['shape']) else None

    def run(self, feeds):
        turned = False
        for t in self.inputs:
            x = feeds[t['name']]
            if x.ndim == 4 and tuple(x.shape) != tuple(t['shape']): x, turned = x.transpose(0, 2, 3, 1), True
            self.interpreter.set_tensor(t['index'], np.ascontiguousarray(x.astype(t['dtype'], copy=False)))
        self.interpreter.invoke()
        results = [self.interpreter.get_tensor(t['index']) for t in self.outputs]
        return [np.ascontiguousarray(y.transpose(0, 3, 1, 2)) if turned and y.ndim == 4 else y for y in results]

    def evidence(self, feeds):
        plain = Interpreter(model_path=self.path, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
        plain.allocate_tensors()
        details = {t['index']: t for t in plain.get_tensor_details()}
        types = {i: np.dtype(t['dtype']).name for i, t in details.items()}
        integer, floats = [], []
        for op in plain._get_ops_details():
            if op['op_name'] not in COMPUTE: continue
            kinds = [types.get(int(i), '?') for i in op['inputs'] if i >= 0]
            # TRANSPOSE_CONV has the sizes of its result first; a float input beside codes is quantized by the kernel
            weights = kinds[:2] if op['op_name'] != 'TRANSPOSE_CONV' else kinds[1:3]
            (integer if 'int8' in weights else floats).append(f"{details[int(op['outputs'][0])]['name']} {op['op_name']} {':'.join(weights)}")
        return dict(how='types of the operands of each operator, by which kernels are chosen', integer=integer, floats=floats)


def open(path, threads): return Model(path, threads)
