"""Latency of ONNX files in OpenVINO, interleaved in one process, beside what NNCF makes of the float one.

python bench/openvino-latency.py float.onnx ours.onnx [others.onnx ...] [--runs 400] [--threads 1] [--batch 1]

Needs openvino and numpy, and nncf for its own file (nncf.quantize with its defaults, calibrated on random inputs: its speed
does not depend on them). Files take turns in going first; inputs are random numbers. Ratios are of medians, to float.
"""
import argparse, os, time
import numpy as np
import openvino as ov

options = argparse.ArgumentParser()
options.add_argument('float')
options.add_argument('files', nargs='+')
options.add_argument('--runs', type=int, default=400)
options.add_argument('--threads', type=int, default=1)
options.add_argument('--batch', type=int, default=1)
asked = options.parse_args()
random = np.random.default_rng(7)
core = ov.Core()


def read(path):
    model = core.read_model(path)
    shapes = {}
    for port in model.inputs:
        dims = list(port.partial_shape)
        shapes[port] = [asked.batch if d.is_dynamic else d.get_length() for d in dims]
    model.reshape(shapes)
    return model


def inputs_of(model):
    return [random.standard_normal(p.shape).astype(p.element_type.to_dtype()) for p in model.inputs]


def peer(path):
    import nncf
    model = read(path)
    names = [p.any_name for p in model.inputs]
    samples = [dict(zip(names, inputs_of(model))) for _ in range(32)]
    return nncf.quantize(model, nncf.Dataset(samples))


models = [('float', read(asked.float)), *((f, read(f)) for f in asked.files), ('nncf', peer(asked.float))]
requests = []
for name, model in models:
    settings = {'INFERENCE_NUM_THREADS': asked.threads, 'PERFORMANCE_HINT': 'LATENCY'}
    request = core.compile_model(model, 'CPU', settings).create_infer_request()
    for i, x in enumerate(inputs_of(model)): request.set_input_tensor(i, ov.Tensor(x))
    requests.append(request)
times = [[] for _ in models]
for r in range(-20, asked.runs):
    for turn in range(len(models)):
        k = (turn + r + 20) % len(models)
        start = time.perf_counter()
        requests[k].infer()
        if r >= 0: times[k].append(1000 * (time.perf_counter() - start))
first = np.quantile(times[0], 0.5)
for (name, _), ms in zip(models, times):
    low, quarter, middle = np.quantile(ms, [0, 0.25, 0.5])
    ratio = f'{middle / first:.3f} x float'
    print(f'{name}  least {low:.3f} ms  lower quartile {quarter:.3f}  median {middle:.3f}  {ratio}')
