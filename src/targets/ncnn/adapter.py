"""ncnn on the CPU. It has no trace: what ran in integers is read from the flags of the layers."""
import builtins, os
import ncnn
import numpy as np

FLAGS = {'Convolution': '8', 'ConvolutionDepthWise': '8', 'InnerProduct': '8', 'Deconvolution': None, 'DeconvolutionDepthWise': None, 'MatMul': None}


class Model:
    batch = 1  # there is no batch axis

    def __init__(self, path, threads):
        self.version, self.path, self.net = ncnn.__version__, path, ncnn.Net()
        self.net.opt.use_vulkan_compute, self.net.opt.num_threads = False, threads
        for k in ('use_fp16_storage', 'use_fp16_arithmetic', 'use_fp16_packed', 'use_bf16_storage'): setattr(self.net.opt, k, False)
        if self.net.load_param(path): raise ValueError('load_param failed')
        if self.net.load_model(os.path.splitext(path)[0] + '.bin'): raise ValueError('load_model failed')
        self.inputs, self.outputs = self.net.input_names(), self.net.output_names()

    def run(self, feeds):
        extractor = self.net.create_extractor()
        for name, v in zip(self.inputs, feeds.values()):
            v = v[0].astype(np.int32) if v.dtype == np.int64 else v[0]
            extractor.input(name, ncnn.Mat(np.ascontiguousarray(v)).clone())
        found = []
        for name in self.outputs:
            failed, value = extractor.extract(name)
            if failed: raise ValueError(f'extract({name}) gave {failed}')
            found.append(np.array(value)[None].copy())
        return found

    def evidence(self, feeds):
        integer, floats = [], []
        with builtins.open(self.path, encoding='utf-8') as f: lines = f.read().split('\n')[2:]
        for line in lines:
            t = line.split()
            if len(t) < 4 or t[0] not in FLAGS: continue
            settings = dict(a.split('=', 1) for a in t[4 + int(t[2]) + int(t[3]):])
            (integer if FLAGS[t[0]] and int(settings.get(FLAGS[t[0]], 0)) else floats).append(f'{t[1]} {t[0]}')
        return dict(how='flags of the layers in the file: ncnn has no trace', integer=integer, floats=floats)


def open(path, threads): return Model(path, threads)
