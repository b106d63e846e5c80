"""Runs .tflite files: a JSON list of {file, inputs: {name: {dims, data}}} -> a JSON list of {outputs: {name: {dims, data}}} or {error}."""
import json, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter

results = []
for case in json.load(open(sys.argv[1])):
    try:
        interpreter = Interpreter(model_path=case['file'], num_threads=1)
        run = interpreter.get_signature_runner()
        given, turned = {}, False
        for name, detail in run.get_input_details().items():
            dims = case['inputs'][name]['dims']
            x = np.array(case['inputs'][name]['data'], np.float64).reshape(dims).astype(detail['dtype'])
            if len(dims) == 4 and list(detail['shape']) != dims:
                x, turned = x.transpose(0, 2, 3, 1), True
            given[name] = np.ascontiguousarray(x)
        outputs = {}
        for name, y in run(**given).items():
            y = y.transpose(0, 3, 1, 2) if turned and y.ndim == 4 else y
            outputs[name] = dict(dims=list(y.shape), data=[float(v) for v in y.flatten()])
        results.append(dict(outputs=outputs))
    except Exception as e:
        results.append(dict(error=str(e)))
json.dump(results, open(sys.argv[2], 'w'))
