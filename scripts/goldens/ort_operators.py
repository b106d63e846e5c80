"""Writes test/golden/ort-operators.json: integer operators as onnxruntime's CPU kernels compute them, on seeded random inputs.

  pip install onnxruntime==1.30.0 onnx && python scripts/goldens/ort_operators.py

ONNX's own node tests have one QLinearConv; these cases cover strides, pads, dilations, groups, auto_pad, per-channel weights,
batches and both signs. int8 weights stay within ±63, because x86 kernels without VNNI saturate sums of two products.
"""
import base64, json, os
import numpy as np, onnxruntime as ort
from onnx import TensorProto, helper

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "test", "golden", "ort-operators.json")
rng = np.random.default_rng(30)
TYPES = {np.dtype(np.float32): ("float32", 1), np.dtype(np.uint8): ("uint8", 2), np.dtype(np.int8): ("int8", 3), np.dtype(np.int32): ("int32", 6),
         np.dtype(np.uint16): ("uint16", 4), np.dtype(np.int16): ("int16", 5)}
f32 = np.float32


def codes(kind, dims):
    low, high = {"uint8": (0, 255), "int8": (-63, 63)}[kind]
    return rng.integers(low, high + 1, dims).astype(kind)


def zero(kind, dims=()):
    return rng.integers(*{"uint8": (100, 150), "int8": (-20, 20)}[kind], dims).astype(kind)


def case(name, op, inputs, opset=21, **attributes):
    names = [f"i{k}" if v is not None else "" for k, v in enumerate(inputs)]
    outputs = ["y", "s", "z"] if op == "DynamicQuantizeLinear" else ["y"]
    declared = [helper.make_tensor_value_info(n, TYPES[v.dtype][1], v.shape) for n, v in zip(names, inputs) if v is not None]
    graph = helper.make_graph([helper.make_node(op, names, outputs, **attributes)], "g", declared, [helper.make_tensor_value_info(o, TensorProto.UNDEFINED, None) for o in outputs])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    for output in model.graph.output:
        output.ClearField("type")
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    made = session.run(None, {n: v for n, v in zip(names, inputs) if v is not None})
    pack = lambda v: v if v is None else {"dtype": TYPES[v.dtype][0], "dims": list(v.shape), "data": base64.b64encode(np.ascontiguousarray(v).tobytes()).decode()}
    return {"name": name, "op": op, "opset": opset, "attributes": attributes, "inputs": [pack(v) for v in inputs], "outputs": [pack(np.asarray(v)) for v in made]}


CONVS = [
    ("plain", (1, 3, 6, 5), (4, 3, 3, 3), {}),
    ("padded", (2, 3, 6, 5), (4, 3, 3, 3), {"pads": [1, 0, 2, 1]}),
    ("strided", (1, 2, 9, 8), (3, 2, 3, 2), {"strides": [2, 3], "pads": [1, 1, 1, 1]}),
    ("dilated", (1, 2, 9, 9), (3, 2, 3, 3), {"dilations": [2, 3], "pads": [2, 2, 2, 2]}),
    ("grouped", (1, 4, 5, 5), (6, 2, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    ("depthwise", (2, 5, 6, 6), (5, 1, 3, 3), {"group": 5, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("same-upper", (1, 2, 7, 6), (2, 2, 4, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("same-lower", (1, 2, 7, 6), (2, 2, 4, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ("valid", (1, 2, 5, 5), (2, 2, 2, 2), {"auto_pad": "VALID"}),
    ("one-axis", (2, 3, 11), (4, 3, 4), {"strides": [2], "pads": [1, 2]}),
    ("three-axes", (1, 2, 4, 5, 3), (3, 2, 2, 3, 2), {"pads": [0, 1, 0, 1, 1, 1]}),
]


def cases():
    for name, x_dims, w_dims, attributes in CONVS:
        for x_kind, w_kind in [("uint8", "int8"), ("uint8", "uint8"), ("int8", "int8")]:
            for per_channel in (False, True) if w_kind == "int8" else (False,):
                x, w, m = codes(x_kind, x_dims), codes(w_kind, w_dims), w_dims[0]
                lines = (m,) if per_channel else ()
                # Channels of a signed kernel must share a zero point in onnxruntime, so they are 0 here.
                w_zero = np.zeros(lines, w_kind) if w_kind == "int8" else zero(w_kind)
                depth = int(np.prod(w_dims[1:]))
                y_scale = f32(0.03 * 0.01 * 60 * 40 * np.sqrt(depth) / 50)
                bias = rng.integers(-2000, 2000, m).astype(np.int32)
                yield case(f"qlinearconv {name} {x_kind} {w_kind}{' per channel' if per_channel else ''}", "QLinearConv",
                           [x, np.array(0.03, f32), zero(x_kind), w, rng.uniform(0.005, 0.015, lines).astype(f32), w_zero, np.array(y_scale, f32), zero(x_kind), bias if m % 2 else None], **attributes)
        yield case(f"convinteger {name}", "ConvInteger", [codes("uint8", x_dims), codes("uint8", w_dims), zero("uint8"), zero("uint8")], **attributes)
    for a_dims, b_dims in [((3, 5), (5, 4)), ((2, 3, 5), (5, 4)), ((2, 1, 3, 5), (4, 5, 2)), ((1, 7), (7, 1))]:
        for a_kind, b_kind in [("uint8", "int8"), ("uint8", "uint8"), ("int8", "int8")]:
            a, b = codes(a_kind, a_dims), codes(b_kind, b_dims)
            yield case(f"matmulinteger {a_dims} {b_dims} {a_kind} {b_kind}", "MatMulInteger", [a, b, zero(a_kind), zero(b_kind)])
            scale = f32(0.02 * 0.01 * 60 * 40 * np.sqrt(a_dims[-1]) / 50)
            yield case(f"qlinearmatmul {a_dims} {b_dims} {a_kind} {b_kind}", "QLinearMatMul",
                       [a, np.array(0.02, f32), zero(a_kind), b, np.array(0.01, f32), zero(b_kind), np.array(scale, f32), zero(a_kind)])
    yield case("matmulinteger per column", "MatMulInteger", [codes("uint8", (3, 6)), codes("int8", (6, 4)), zero("uint8"), zero("int8", (4,))])
    x = (rng.normal(0, 1, (3, 4, 10)) * 10.0 ** rng.integers(-1, 2, (3, 4, 1))).astype(f32)
    x[0, 0, :6] = [np.inf, -np.inf, -0.0, 0.025, 0.075, 1e30]
    for kind in ("uint8", "int8", "uint16", "int16"):
        low, high = (100, 150) if kind.startswith("u") else (-20, 20)
        for name, dims, attributes in [("tensor", (), {}), ("axis", (4,), {"axis": 1}), ("block", (3, 4, 3), {"axis": 2, "block_size": 4})]:
            scale, point = rng.uniform(0.01, 0.1, dims).astype(f32), rng.integers(low, high, dims).astype(kind)
            if name == "tensor":
                scale = np.array(0.05, f32)
            made = case(f"quantizelinear {name} {kind}", "QuantizeLinear", [x, scale, point], **attributes)
            yield made
            y = np.frombuffer(base64.b64decode(made["outputs"][0]["data"]), kind).reshape(x.shape)
            yield case(f"dequantizelinear {name} {kind}", "DequantizeLinear", [y, scale, point], **attributes)
    for name, values in [("normal", rng.normal(1, 3, 30)), ("positive", np.abs(rng.normal(0, 3, 30))), ("negative", -np.abs(rng.normal(0, 1, 30)) - 1), ("tiny", rng.normal(0, 1e-20, 30))]:
        yield case(f"dynamicquantizelinear {name}", "DynamicQuantizeLinear", [values.astype(f32)])


made = list(cases())
text = json.dumps({"source": f"onnxruntime {ort.__version__}, CPU", "cases": made}).replace('}, {"name"', '},\n{"name"')
with open(OUT, "w") as file:
    file.write(text + "\n")
print(len(text), "bytes,", len(made), "cases")
