"""Apache TVM, through the load.py beside the model; the float model by TVM's own reader of ONNX."""
import importlib.util, os, re
import numpy as np
import tvm
from tvm import relax


class Model:
    batch = 1

    def __init__(self, module, threads):
        os.environ['TVM_NUM_THREADS'] = str(threads)
        self.version = tvm.__version__
        module = relax.get_pipeline('zero')(module)
        self.script = module.script()
        self.vm = relax.VirtualMachine(tvm.compile(module, target='llvm'), tvm.cpu())

    def run(self, feeds):
        made = self.vm['main'](*(tvm.runtime.tensor(np.ascontiguousarray(v)) for v in feeds.values()))
        return [v.numpy() for v in ([made] if hasattr(made, 'numpy') else made)]

    def evidence(self, feeds):
        integer, floats = [], []
        calls = re.findall(r'R\.call_tir\(cls\.(\w+)', self.script)
        for body in re.split(r'\n    @T\.prim_func', self.script):
            d = re.search(r'def (\w*(?:conv2d|matmul|dense)\w*)\((.*?)\):', body, re.S)
            if not d or 'R.function' in d[0]: continue
            kinds = [t or 'float32' for t in re.findall(r'T\.Buffer\(\(.*?\)(?:, "(\w+)")?\)', d[2])]
            (integer if all('int' in t for t in kinds[:2]) else floats).extend([f"{d[1]} {':'.join(kinds[:2])}"] * max(1, calls.count(d[1])))
        return dict(how='types of the buffers of convolutions and products in the lowered program', integer=integer, floats=floats)


def open(path, threads):
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    spec = importlib.util.spec_from_file_location('quantbench_load', os.path.join(folder, 'load.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Model(module.load(folder)[0], threads)
