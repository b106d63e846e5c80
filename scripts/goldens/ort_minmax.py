"""Writes test/golden/ort-minmax.json: scales, zero points and codes as onnxruntime.quantization 1.30.0 chooses them.

  pip install onnxruntime==1.30.0 onnx && python scripts/goldens/ort_minmax.py

Every number comes from onnxruntime's own functions (compute_data_quant_params, compute_scale_zp, quantize_nparray,
QDQQuantizer._adjust_weight_scale_for_int32_bias, BaseQuantizer.quantize_bias_static_impl). Floats are base64 of little-endian bytes.
"""
import base64, json, os, types
import numpy as np, onnx, onnxruntime
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization.base_quantizer import BaseQuantizer
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import compute_data_quant_params, compute_scale_zp, get_qmin_qmax_for_qType, quantize_nparray

np.seterr(all="ignore")
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "test", "golden", "ort-minmax.json")
DTYPES = ["int8", "uint8", "int16", "uint16", "int4", "uint4"]
rng = np.random.default_rng(20)
f32 = np.float32


def b64(array):
    array = np.asarray(array)
    if array.dtype.name in ("int4", "uint4"):
        array = array.astype(array.dtype.name.replace("4", "8"))  # one sign-extended byte per code
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def tensors():
    yield "normal", rng.normal(0, 1, 64)
    yield "normal-shifted", rng.normal(3, 0.5, 40)
    yield "positive", np.abs(rng.normal(0, 2, 40)) + 0.01
    yield "negative", -np.abs(rng.normal(0, 2, 40)) - 0.01
    yield "relu6", np.clip(rng.normal(2, 3, 40), 0, 6)
    yield "laplace", rng.laplace(0, 0.1, 40)
    yield "all-zero", np.zeros(5)
    yield "minus-zero", [-0.0, -0.0]
    yield "constant", np.full(4, 0.3)
    yield "constant-negative", np.full(4, -7.25)
    yield "one-value", [1e-3]
    yield "denormal", [1e-40, 3e-40]
    yield "denormal-both-signs", [-2e-40, 1e-40]
    yield "tiny-scale-below", [0.0, 2e-37]     # /255 is below the smallest normal float32, /15 is not
    yield "tiny-scale-above", [0.0, 4e-36]
    yield "tiny-range", [1e-7, -1e-7, 3e-8]
    yield "narrow-far-from-zero", 1000 + rng.normal(0, 1e-3, 20)
    yield "huge-outlier", np.append(rng.normal(0, 1, 15), 1e30)
    yield "near-max-one-sided", [0.0, 1.0, 3e38]
    yield "halves", np.arange(-16, 16) + 0.5
    yield "exact-grid", np.arange(-128, 128, 5) / 64
    yield "grid-minus-one", [-1.0, 254.0, 0.5, 1.5, 2.5]
    yield "half-zero-point", [-0.5, 254.5, 0.0, 1.0]  # rmin / scale is exactly -0.5 for uint8


def tensor_case(name, values, dtype, symmetric):
    qtype = getattr(TensorProto, dtype.upper())
    zero_point, scale = compute_data_quant_params(values, qtype, symmetric)
    codes = quantize_nparray(qtype, values, scale, zero_point)
    return {"tensor": name, "dtype": dtype, "symmetric": symmetric, "scale": b64(np.asarray(scale, f32)), "zeroPoint": int(zero_point), "codes": b64(codes)}


def range_cases():
    """compute_scale_zp on ranges alone (float32), as calibration calls it."""
    edges = [(0, 0), (-1, 2), (-1, 1), (0, 1), (-3, 0), (-3, -1), (1, 3), (-1e-3, 6), (-0.5, 254.5), (-1.5, 253.5), (0, 1e-38), (0, 3e38), (-2.2, 1e-30)]
    edges += [tuple(sorted(rng.normal(rng.normal(0, 2), 10.0 ** rng.integers(-6, 6), 2))) for _ in range(40)]
    for low, high in edges:
        low, high = f32(low), f32(high)
        chosen = []
        for dtype in DTYPES:
            for symmetric in (False, True):
                qmin, qmax = get_qmin_qmax_for_qType(getattr(TensorProto, dtype.upper()), symmetric=symmetric)
                zero_point, scale = compute_scale_zp(np.array(low), np.array(high), qmin, qmax, symmetric)
                chosen.append([dtype, symmetric, b64(np.asarray(scale, f32)), int(zero_point)])
        yield {"min": b64(low), "max": b64(high), "chosen": chosen}


def channel_cases():
    """Per channel, each slice on its own, as quantize_weight_per_channel_impl does."""
    conv = rng.normal(0, 1, (6, 3, 3, 3)) * (10.0 ** rng.uniform(-3, 1, (6, 1, 1, 1)))
    conv[2] = 0
    conv[3] = np.abs(conv[3])
    matrix = rng.normal(0, 0.05, (12, 7))
    matrix[:, 4] = 1e-41
    for name, values, axis in [("conv", conv, 0), ("conv-transpose", conv, 1), ("gemm", matrix, 1), ("gemm-transB", matrix, 0)]:
        values = values.astype(f32)
        for dtype in DTYPES:
            for symmetric in (True, False):
                qtype = getattr(TensorProto, dtype.upper())
                scales, zeros, codes = [], [], []
                for i in range(values.shape[axis]):
                    part = values.take(i, axis).flatten()
                    zero_point, scale = compute_data_quant_params(part, qtype, symmetric)
                    shape = list(values.shape)
                    shape[axis] = 1
                    codes.append(np.asarray(quantize_nparray(qtype, part, scale, zero_point)).reshape(shape))
                    scales.append(scale)
                    zeros.append(int(zero_point))
                yield {"tensor": name, "dims": values.shape, "axis": axis, "dtype": dtype, "symmetric": symmetric, "values": b64(values),
                       "scale": b64(np.array(scales, f32)), "zeroPoint": zeros, "codes": b64(np.concatenate(codes, axis))}


def bias_cases():
    """The guard, then the codes. Both are methods; they touch of `self` only what is given here."""
    for name, bias, input_scale, weight_scale in [
        ("plain", rng.normal(0, 1, 8), 0.02, rng.uniform(1e-3, 1e-2, 8)),
        ("per-tensor", rng.normal(0, 1, 8), 0.02, np.array([0.004])),
        ("overflow-per-tensor", rng.normal(0, 100, 8), 1e-6, np.array([1e-5])),
        ("overflow-some-channels", rng.normal(0, 5, 8), 1e-5, 10.0 ** rng.uniform(-9, -2, 8)),
        ("zero-bias", np.zeros(4), 0.1, rng.uniform(1e-9, 1e-2, 4)),
        ("large", np.array([1e5, -1e5, 3.0]), 1e-4, np.array([1e-3, 1e-8, 0.5])),
        ("underflowed-scale", np.array([1.0, 2.0]), 1e-30, np.array([1e-20, 1e-3])),
        ("halves", np.array([0.5, 1.5, 2.5, -0.5, -1.5]), 1.0, np.ones(5)),
    ]:
        bias, input_scale, weight_scale = bias.astype(f32), np.array(input_scale, f32), weight_scale.astype(f32)
        given = weight_scale.copy()
        proto = numpy_helper.from_array(bias, "b")
        per_channel = weight_scale.size > 1
        guarded = weight_scale.copy() if per_channel else weight_scale.copy().reshape(())
        changed, adjusted = QDQQuantizer._adjust_weight_scale_for_int32_bias(None, input_scale, guarded, "w", proto, per_channel)
        adjusted = np.asarray(adjusted, f32).reshape(-1)
        added = []
        model = types.SimpleNamespace(initializer=lambda: [proto], initializer_extend=added.extend)
        stand_in = types.SimpleNamespace(model=model, weight_qType=TensorProto.INT8, quantized_value_map={})
        try:
            BaseQuantizer.quantize_bias_static_impl(stand_in, "b", input_scale, adjusted)
        except AttributeError:
            pass  # bookkeeping after the three initializers are made
        made = {i.name: numpy_helper.to_array(i) for i in added}
        yield {"name": name, "bias": b64(bias), "inputScale": b64(input_scale), "weightScale": b64(given), "changed": bool(changed),
               "adjustedWeightScale": b64(adjusted), "biasScale": b64(made["b_quantized_scale"]), "codes": b64(made["b_quantized"])}


inputs = {name: np.asarray(values, f32) for name, values in tensors()}
golden = {
    "source": f"onnxruntime.quantization {onnxruntime.__version__}, numpy {np.__version__}",
    "tensors": {name: b64(values) for name, values in inputs.items()},
    "perTensor": [tensor_case(n, v, d, s) for n, v in inputs.items() for d in DTYPES for s in (False, True)],
    "ranges": list(range_cases()), "perChannel": list(channel_cases()), "bias": list(bias_cases()),
}
text = json.dumps(golden).replace('}, {', '},\n{')
with open(OUT, "w") as file:
    file.write(text + "\n")
print(len(text), "bytes", {k: len(v) for k, v in golden.items()})
