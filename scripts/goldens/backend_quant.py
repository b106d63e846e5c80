"""Writes test/golden/backend-quant.json: ONNX's own node test cases of quantization and of casts to and from small types.

  pip install onnx && python scripts/goldens/backend_quant.py

A case is one node: its attributes, its inputs (null where left out) and the outputs that ONNX expects, as raw little-endian
bytes (small types packed as ONNX stores them) in base64. String tensors are left out: no quantization involves them.
"""
import base64, json, os
import numpy as np, onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "test", "golden", "backend-quant.json")
OPS = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger", "ConvInteger", "Cast", "CastLike"}
NAMES = {v: k.lower() for k, v in TensorProto.DataType.items()}
NAMES[TensorProto.FLOAT], NAMES[TensorProto.DOUBLE] = "float32", "float64"


def tensor(proto):
    """{dtype, dims, data}; raises TypeError for what is no numeric tensor."""
    if not isinstance(proto, TensorProto) or proto.data_type == TensorProto.STRING:
        raise TypeError
    if not proto.HasField("raw_data"):
        proto = numpy_helper.from_array(numpy_helper.to_array(proto))
    return {"dtype": NAMES[proto.data_type], "dims": list(proto.dims), "data": base64.b64encode(proto.raw_data).decode()}


def attribute(a):
    value = helper.get_attribute_value(a)
    return value.decode() if isinstance(value, bytes) else list(value) if a.ints else value


def as_proto(value, declared):
    """The collected data are arrays; the declared type tells apart what numpy cannot."""
    if isinstance(value, TensorProto):
        return value
    kind = declared.type.tensor_type.elem_type
    value = np.asarray(value)
    wanted = helper.tensor_dtype_to_np_dtype(kind)
    if value.dtype != wanted:
        raise ValueError(f"{declared.name}: {value.dtype} is not {wanted}")
    return numpy_helper.from_array(value)


cases, skipped = [], []
for case in collect_testcases(None):
    if case.model is None or len(case.model.graph.node) != 1 or case.model.graph.node[0].op_type not in OPS:
        continue
    node, graph = case.model.graph.node[0], case.model.graph
    try:
        (inputs, outputs), = case.data_sets
        inputs = [tensor(as_proto(v, d)) for v, d in zip(inputs, graph.input, strict=True)]
        outputs = [tensor(as_proto(v, d)) for v, d in zip(outputs, graph.output, strict=True)]
    except TypeError:
        skipped.append(case.name)
        continue
    given = {i.name: t for i, t in zip(graph.input, inputs, strict=True)}
    cases.append({"name": case.name, "op": node.op_type, "opset": next(o.version for o in case.model.opset_import if o.domain == ""),
                  "attributes": {a.name: attribute(a) for a in node.attribute}, "inputs": [given[n] if n else None for n in node.input], "outputs": outputs})
cases.sort(key=lambda c: (c["op"], c["name"]))
text = json.dumps({"source": f"onnx {onnx.__version__} backend node tests", "cases": cases}).replace('}, {"name"', '},\n{"name"')
with open(OUT, "w") as file:
    file.write(text + "\n")
counts = {}
for c in cases:
    counts[c["op"]] = counts.get(c["op"], 0) + 1
print(len(text), "bytes", len(cases), counts, "skipped (strings)", len(skipped), skipped[:12])
print({t["dtype"] for c in cases for t in [*c["inputs"], *c["outputs"]] if t})
print([(c["name"], c["attributes"]) for c in cases if c["op"] in ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger", "QLinearMatMul","MatMulInteger")])
print([c["name"] for c in cases if "Cast" in c["op"]])
