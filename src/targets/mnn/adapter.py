"""MNN on the CPU. The folder is converted first, by the module of the package: its console scripts install others and report home."""
import os, tempfile
import MNN
import numpy as np

COMPUTE = ('Convolution', 'ConvolutionDepthwise', 'Deconvolution', 'MatMul', 'BatchMatMul', 'LSTM', 'Attention')


def convert(onnx, *more):
    import _tools
    made = os.path.join(tempfile.mkdtemp(), 'model.mnn')
    _tools.mnnconvert(['MNNConvert', '-f', 'ONNX', '--modelFile', onnx, '--MNNModel', made, '--bizCode', 'MNN', *more])
    if not os.path.exists(made): raise ValueError('the converter wrote nothing')
    return made


class Model:
    batch = 1

    def __init__(self, path, threads):
        self.version, self.net = MNN.version(), MNN.Interpreter(path)
        self.session = self.net.createSession({'backend': 'CPU', 'numThread': threads, 'precision': 'high'})
        self.inputs = self.net.getSessionInputAll(self.session)

    def run(self, feeds, after=None):
        for (name, tensor), v in zip(self.inputs.items(), feeds.values()):
            v = np.ascontiguousarray(v)
            kind = MNN.Halide_Type_Float
            if v.dtype != np.float32: v, kind = v.astype(np.int32), MNN.Halide_Type_Int
            if tuple(tensor.getShape()) != v.shape:
                self.net.resizeTensor(tensor, v.shape)
                self.net.resizeSession(self.session)
            tensor.copyFrom(MNN.Tensor(v.shape, kind, v, MNN.Tensor_DimensionType_Caffe))
        if after: self.net.runSessionWithCallBackInfo(self.session, after, lambda tensors, info: True)
        else: self.net.runSession(self.session)
        found = []
        for tensor in self.net.getSessionOutputAll(self.session).values():
            shape = tensor.getShape()
            host = MNN.Tensor(shape, MNN.Halide_Type_Float, np.zeros(shape, np.float32), MNN.Tensor_DimensionType_Caffe)
            tensor.copyToHostTensor(host)
            found.append(np.array(host.getData(), np.float32).reshape(shape))
        return found

    def evidence(self, feeds):
        seen = []
        self.run(feeds, lambda tensors, info: (seen.append((info.getType().strip(), info.getName())), True)[1])
        rows = [(t, n) for t, n in seen if t.split(' ')[0] in COMPUTE]
        return dict(
            how='types that the interpreter executed',
            integer=[f'{n} {t}' for t, n in rows if 'INT8' in t.upper()],
            floats=[f'{n} {t}' for t, n in rows if 'INT8' not in t.upper()],
        )


def open(path, threads):
    table = os.path.join(path, 'compression.json')
    return Model(convert(os.path.join(path, 'model.onnx'), '--compressionParamsFile', table), threads)


def open_float(path, threads): return Model(convert(path), threads)
