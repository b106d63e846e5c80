"""Latency of .tflite files in LiteRT, interleaved in one process, beside what ai-edge-quantizer makes of a float one.

python bench/litert.py ours.tflite [others.tflite ...] [--peer float.tflite] [--runs 400] [--threads 1]

Needs ai-edge-litert and numpy, and ai-edge-quantizer for --peer (static int8 weights and activations, calibrated on random
inputs: its speed does not depend on them). Files take turns in going first; inputs are random numbers.
"""
import argparse, os, tempfile, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter

options = argparse.ArgumentParser()
options.add_argument('files', nargs='+')
options.add_argument('--peer')
options.add_argument('--runs', type=int, default=400)
options.add_argument('--threads', type=int, default=1)
asked = options.parse_args()
random = np.random.default_rng(7)


def inputs_of(interpreter):
    return [(t['index'], random.standard_normal(t['shape']).astype(t['dtype'])) for t in interpreter.get_input_details()]


def peer(path):
    from ai_edge_quantizer import quantizer, recipe
    interpreter = Interpreter(model_path=path)
    names = interpreter.get_signature_list()['serving_default']['inputs']
    samples = [{n: x for n, (_, x) in zip(names, inputs_of(interpreter))} for _ in range(16)]
    q = quantizer.Quantizer(path)
    q.load_quantization_recipe(recipe.static_wi8_ai8())
    file = os.path.join(tempfile.mkdtemp(), 'ai-edge-quantizer.tflite')
    q.quantize(q.calibrate({'serving_default': samples})).export_model(file)
    return file


files = asked.files + ([peer(asked.peer)] if asked.peer else [])
models = []
for file in files:
    interpreter = Interpreter(model_path=file, num_threads=asked.threads)
    interpreter.allocate_tensors()
    for index, x in inputs_of(interpreter): interpreter.set_tensor(index, x)
    models.append(interpreter)
times = [[] for _ in models]
for r in range(-20, asked.runs):
    for turn in range(len(models)):
        k = (turn + r + 20) % len(models)
        start = time.perf_counter()
        models[k].invoke()
        if r >= 0: times[k].append(1000 * (time.perf_counter() - start))
for file, ms in zip(files, times):
    low, quarter, middle = np.quantile(ms, [0, 0.25, 0.5])
    print(f'{file}  least {low:.3f} ms  lower quartile {quarter:.3f}  median {middle:.3f}  {os.path.getsize(file)} bytes')
