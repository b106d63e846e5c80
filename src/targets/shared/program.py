"""Reads program.json and program.safetensors. Needs numpy alone."""
import json, os
import numpy as np

TYPES = dict(F64='f8', F32='f4', F16='f2', I64='i8', I32='i4', I16='i2', I8='i1', U8='u1', BOOL='?')


def read(folder):
    """-> (program, {name: array})"""
    with open(os.path.join(folder, 'program.json'), encoding='utf-8') as f: program = json.load(f)
    with open(os.path.join(folder, 'program.safetensors'), 'rb') as f: data = f.read()
    n = int.from_bytes(data[:8], 'little')
    tensors = {}
    for name, t in json.loads(data[8:8 + n]).items():
        start, end = (8 + n + x for x in t['data_offsets'])
        tensors[name] = np.frombuffer(data[start:end], '<' + TYPES[t['dtype']]).reshape(t['shape'])
    return program, tensors


def pads(layer, rank):
    """Of a window over the last axes: [before...], [after...]. auto_pad is resolved where the file is written."""
    p = layer['attrs'].get('pads', [0] * 2 * rank)
    return p[:rank], p[rank:]
