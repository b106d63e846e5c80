"""Runs a model in the runtime that it was written for. Asked and answered by lines of JSON; tensors lie in raw files.

python adapter.py RUNTIME.py, where RUNTIME.py has open(path, threads) -> a model with

  version    of the runtime
  batch      samples in a run, where the file fixes it; else None
  run(feeds) feeds: {name: array} in the order of the model's inputs -> list of arrays, in the order of its outputs
  evidence(feeds) -> dict(how, integer=[layer, ...], floats=[layer, ...])

and, where the runtime reads the float model in another way, open_float(path, threads).
"""
import importlib.util, json, os, sys, time
import numpy as np

TYPES = dict(float32='f4', float64='f8', float16='f2', int8='i1', uint8='u1', int16='i2', uint16='u2', int32='i4', uint32='u4', int64='i8', uint64='u8', bool='?')


def main():
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what a runtime prints is no answer
    spec = importlib.util.spec_from_file_location('runtime_adapter', sys.argv[1])
    adapter = importlib.util.module_from_spec(spec)
    models = {}
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if not hasattr(adapter, 'open'): spec.loader.exec_module(adapter)
            answer = answer_to(asked, adapter, models)
        except BaseException as e:  # whatever a runtime throws is an answer
            answer = dict(error=f'{type(e).__name__}: {str(e).strip()[:2000]}', missing=getattr(e, 'name', None) if isinstance(e, ModuleNotFoundError) else None)
        answers.write(json.dumps(answer) + '\n')
        answers.flush()
    os._exit(0)  # some runtimes crash in their own exit handlers


def answer_to(asked, adapter, models):
    do = asked['do']
    if do == 'open':
        make = getattr(adapter, 'open_float', adapter.open) if asked['model'] == 'float' else adapter.open
        model = models[asked['model']] = make(asked['path'], asked['threads'])
        return dict(version=str(model.version), batch=model.batch)
    feeds = {t['name']: read(t) for t in asked['inputs']}
    if do == 'run': return dict(outputs=[write(v, f"{asked['files']}{i}") for i, v in enumerate(models[asked['model']].run(feeds))])
    if do == 'evidence': return models['quantized'].evidence(feeds)
    if do == 'time': return dict(rounds=timed([models[m] for m in asked['models']], feeds, asked))
    raise ValueError(f'nothing is called {do}')


def read(t):
    return np.fromfile(t['file'], np.dtype('<' + TYPES[t['dtype']])).reshape(t['dims'])


def write(value, file):
    v = np.ascontiguousarray(value)
    if v.dtype == np.float64 or v.dtype.name == 'bfloat16': v = v.astype(np.float32)
    v.tofile(file)
    return dict(file=file, dtype=v.dtype.name, dims=list(v.shape))


def timed(models, feeds, asked):
    """Milliseconds of single runs, in rounds in which the models take turns: [model][round][run]."""
    for m in models:
        for _ in range(asked['warmup']): m.run(feeds)
    rounds = [[] for _ in models]
    for _ in range(asked['rounds']):
        for k, m in enumerate(models):
            times = []
            for _ in range(asked['runs']):
                start = time.perf_counter()
                m.run(feeds)
                times.append(1000 * (time.perf_counter() - start))
            rounds[k].append(times)
    return rounds


main()
