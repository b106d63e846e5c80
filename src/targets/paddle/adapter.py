"""Paddle Inference on the CPU with oneDNN."""
import os, re, subprocess, sys, tempfile
import numpy as np

TRACED = '''
import sys, numpy as np
sys.path.insert(0, sys.argv[1])
import adapter
d = np.load(sys.argv[3])
adapter.open(sys.argv[2], 1).run({k: d[k] for k in d})
'''


class Model:
    batch = None

    def __init__(self, path, threads):
        import paddle, paddle.inference as pi
        self.version, self.path = paddle.__version__, path
        config = pi.Config(path, os.path.splitext(path)[0] + '.pdiparams')
        config.disable_gpu()
        config.disable_glog_info()
        config.set_cpu_math_library_num_threads(threads)
        config.enable_mkldnn()
        config.enable_mkldnn_int8()
        self.predictor = pi.create_predictor(config)

    def run(self, feeds):
        for name, value in zip(self.predictor.get_input_names(), feeds.values()):
            handle = self.predictor.get_input_handle(name)
            handle.reshape(value.shape)
            handle.copy_from_cpu(np.ascontiguousarray(value))
        self.predictor.run()
        return [self.predictor.get_output_handle(n).copy_to_cpu() for n in self.predictor.get_output_names()]

    def evidence(self, feeds):
        """oneDNN looks for the wish to trace once, before its first primitive: another process is needed."""
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, 'feeds.npz')
            np.savez(file, **feeds)
            command = [sys.executable, '-c', TRACED, os.path.dirname(os.path.abspath(__file__)), self.path, file]
            text = subprocess.run(command, capture_output=True, text=True, env={**os.environ, 'ONEDNN_VERBOSE': '1'}).stdout
        integer, floats = [], []
        for line in text.splitlines():
            if ',exec,' not in line: continue
            kind, primitive, rest = line.split(',exec,')[1].split(',', 3)[1:4]
            if kind not in ('convolution', 'inner_product', 'matmul', 'deconvolution'): continue
            types = [m[1] for m in re.findall(r'(src|wei)[a-z]*:+([a-z0-9]+):', rest)][:2]
            (integer if all(t in ('u8', 's8') for t in types) else floats).append(f"{kind} {primitive} {' × '.join(types)}")
        return dict(how="oneDNN's trace of what it executed", integer=integer, floats=floats)


def open(path, threads): return Model(path, threads)
