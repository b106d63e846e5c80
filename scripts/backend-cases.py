"""Dumps the backend test models of the installed `onnx` package, for test/models/backend-roundtrip.test.ts.

    python3 -m venv .venv && .venv/bin/pip install 'onnx==1.*' numpy
    .venv/bin/python scripts/backend-cases.py DIRECTORY

Writes DIRECTORY/<case>/model.onnx and test_data_set_<i>/input_<j>.pb and output_<j>.pb.
"""
import pathlib
import shutil
import sys
import warnings

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.model import collect_testcases as collect_models
from onnx.backend.test.case.node import collect_testcases as collect_nodes
from onnx.backend.test.loader import load_model_tests


def to_proto(value, info):
    kind = info.type.WhichOneof("value")
    if kind == "sequence_type":
        return numpy_helper.from_list(value, info.name)
    if kind == "optional_type":
        return numpy_helper.from_optional(value, info.name)
    if isinstance(value, onnx.TensorProto):
        return value
    return numpy_helper.from_array(np.asarray(value), info.name)


def main(directory):
    out = pathlib.Path(directory)
    cases, skipped = 0, 0
    for case in [*collect_nodes(None), *collect_models()]:
        if case.model is None:  # a model to download
            continue
        folder = out / case.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_bytes(case.model.SerializeToString())
        cases += 1
        for i, (inputs, outputs) in enumerate(case.data_sets or []):
            data = folder / f"test_data_set_{i}"
            data.mkdir(exist_ok=True)
            try:
                for role, values, infos in (("input", inputs, case.model.graph.input), ("output", outputs, case.model.graph.output)):
                    for j, (value, info) in enumerate(zip(values, infos)):
                        (data / f"{role}_{j}.pb").write_bytes(to_proto(value, info).SerializeToString())
            except Exception as error:  # noqa: BLE001  # a case whose data have no proto form still tests its model
                skipped += 1
                print(f"{case.name}: no data ({error})", file=sys.stderr)
    # Models that the package ships as files, with their data.
    for kind in ("simple", "pytorch-converted", "pytorch-operator"):
        for case in load_model_tests(kind=kind):
            if case.model_dir:
                shutil.copytree(case.model_dir, out / case.name, dirs_exist_ok=True)
                cases += 1
    print(f"{cases} cases, {skipped} without data")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main(sys.argv[1])
