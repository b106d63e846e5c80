"""PyTorch, through the load.py beside the model."""
import importlib.util, os
import torch


class Model:
    batch = 1

    def __init__(self, path, threads):
        self.version = torch.__version__
        torch.set_num_threads(threads)
        folder = path if os.path.isdir(path) else os.path.dirname(path)
        spec = importlib.util.spec_from_file_location('quantbench_load', os.path.join(folder, 'load.py'))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.model = module.load(folder)

    def run(self, feeds):
        return [v.numpy() for v in self.model(*(torch.from_numpy(v.copy()) for v in feeds.values()))]

    def evidence(self, feeds):
        from torch.profiler import ProfilerActivity, profile
        self.run(feeds)
        with profile(activities=[ProfilerActivity.CPU]) as p: self.run(feeds)
        count = {e.key: e.count for e in p.key_averages()}
        rows = lambda test: [f'{k} {i}' for k, c in count.items() if test(k) for i in range(c)]
        return dict(how=f"operators in torch's profile, engine {torch.backends.quantized.engine}",
                    integer=rows(lambda k: k.startswith(('quantized::conv', 'quantized::linear'))),
                    floats=rows(lambda k: k in ('aten::conv2d', 'aten::linear', 'aten::matmul')))


def open(path, threads): return Model(path, threads)
