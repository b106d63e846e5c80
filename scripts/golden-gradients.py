"""Writes test/golden/gradients/*.json: what PyTorch's autograd gives for small cases, in float64, stored as float32.

    pip install torch==2.13.0 && python scripts/golden-gradients.py

Each case of an operator is a graph as ONNX text with the output y, its inputs, and the gradients of sum(r * y) by them.
"""
import base64
import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "golden" / "gradients"
rng = np.random.default_rng(14)


def normal(*dims):
    return rng.standard_normal(dims).astype(np.float32)


def packed(a):
    a = np.asarray(a)
    kind = "int64" if a.dtype.kind == "i" else "float32"
    data = np.ascontiguousarray(a, dtype="<i8" if kind == "int64" else "<f4")
    return {"dtype": kind, "dims": list(a.shape), "data": base64.b64encode(data.tobytes()).decode()}


def case(name, graph, function, opset=21, batch_norm=None, **inputs):
    """`function` takes the inputs by name as torch tensors; constants of the graph stand before a |."""
    tensors = {}
    for key, value in inputs.items():
        t = torch.tensor(value)
        tensors[key] = t.double().requires_grad_() if t.is_floating_point() else t
    y = function(*tensors.values())
    r = normal(*y.shape)
    (y * torch.tensor(r).double()).sum().backward()
    types = {k: f"{'int64' if v.dtype.kind == 'i' else 'float'}[{','.join(map(str, v.shape))}] {k}" for k, v in inputs.items()}
    shape = ",".join(map(str, y.shape))
    heads = ", ".join([*types.values(), f"float[{shape}] r" if shape else "float r"])
    return {
        "name": name,
        "opset": opset,
        "graph": f"({heads}) => (loss) " + body(graph),
        **({"batchNorm": batch_norm} if batch_norm else {}),
        "inputs": {**{k: packed(v) for k, v in inputs.items()}, "r": packed(r)},
        "gradients": {k: packed(t.grad.numpy()) for k, t in tensors.items() if t.requires_grad and t.grad is not None},
    }


def body(graph):
    constants, _, nodes = graph.rpartition("|")
    head = f"<{constants.strip()}> " if constants else ""
    return head + "{ " + nodes.strip() + " p = Mul (y, r) loss = ReduceSum <keepdims = 0> (p) }"


def conv(name, x, w, attrs, bias=True, **kw):
    f = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[len(x)]
    extra = {"b": normal(w[0])} if bias else {}
    args = "x, w, b" if bias else "x, w"
    return case(name, f"y = Conv <{attrs}> ({args})", lambda x, w, b=None: f(x, w, b, **kw), x=normal(*x), w=normal(*w), **extra)


def transposed(name, x, w, attrs, **kw):
    f = {3: F.conv_transpose1d, 4: F.conv_transpose2d}[len(x)]
    b = normal(w[1] * kw.get("groups", 1))
    return case(name, f"y = ConvTranspose <{attrs}> (x, w, b)", lambda x, w, b: f(x, w, b, **kw), x=normal(*x), w=normal(*w), b=b)


CORNERS = np.array([-3, -2.5, -1, -0.5, 0, 0.5, 1, 2.5, 3], np.float32)
TIES = np.round(normal(1, 2, 6, 6)).astype(np.float32)
files = {
    "conv": [
        conv("3x3", (2, 3, 6, 5), (4, 3, 3, 3), "pads = [1,1,1,1]", padding=1),
        conv("stride 2", (2, 3, 7, 7), (4, 3, 3, 3), "pads = [1,1,1,1], strides = [2,2]", padding=1, stride=2),
        conv("dilation", (1, 2, 9, 8), (3, 2, 3, 3), "dilations = [2,1], pads = [2,1,2,1]", dilation=(2, 1), padding=(2, 1)),
        conv("groups", (2, 4, 5, 5), (6, 2, 3, 3), "group = 2", groups=2),
        conv("depthwise stride 2", (2, 4, 6, 6), (4, 1, 3, 3), "group = 4, pads = [1,1,1,1], strides = [2,2]", groups=4, padding=1, stride=2),
        conv("depthwise multiplier 2", (1, 3, 5, 5), (6, 1, 3, 3), "group = 3", groups=3),
        conv("1x1 stride 2", (2, 3, 5, 6), (4, 3, 1, 1), "strides = [2,2]", bias=False, stride=2),
        conv("1 axis", (2, 3, 9), (4, 3, 3), "pads = [1,1], strides = [2]", padding=1, stride=2),
        conv("3 axes", (1, 2, 4, 3, 5), (3, 2, 2, 3, 2), "pads = [0,1,0,0,1,0]", padding=(0, 1, 0)),
    ],
    "conv-transpose": [
        transposed("plain", (2, 3, 4, 5), (3, 2, 3, 3), "strides = [1,1]"),
        transposed("stride 2", (1, 3, 4, 4), (3, 2, 3, 3), "strides = [2,2], pads = [1,1,1,1], output_padding = [1,1]", stride=2, padding=1, output_padding=1),
        transposed("groups", (1, 4, 3, 3), (4, 2, 2, 2), "strides = [2,2], group = 2", stride=2, groups=2),
        transposed("dilation", (1, 2, 3, 4), (2, 3, 3, 3), "dilations = [2,2]", dilation=2),
        transposed("1 axis", (1, 2, 5), (2, 3, 4), "strides = [2], pads = [1,1]", stride=2, padding=1),
    ],
    "pooling": [
        case("max 2", "y = MaxPool <kernel_shape = [2,2], strides = [2,2]> (x)", lambda x: F.max_pool2d(x, 2), x=normal(2, 3, 6, 6)),
        case("max 3, overlapping", "y = MaxPool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]> (x)", lambda x: F.max_pool2d(x, 3, 2, 1), x=normal(1, 2, 7, 7)),
        case("max of equal elements", "y = MaxPool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]> (x)", lambda x: F.max_pool2d(x, 3, 2, 1), x=TIES),
        case("max ceil", "y = MaxPool <kernel_shape = [3,3], strides = [2,2], ceil_mode = 1> (x)", lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True), x=normal(1, 2, 6, 6)),
        case("average", "y = AveragePool <kernel_shape = [2,2], strides = [2,2]> (x)", lambda x: F.avg_pool2d(x, 2), x=normal(1, 2, 6, 6)),
        case("average, pads not counted", "y = AveragePool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]> (x)", lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), x=normal(1, 2, 7, 7)),
        case("average, pads counted", "y = AveragePool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1], count_include_pad = 1> (x)", lambda x: F.avg_pool2d(x, 3, 2, 1), x=normal(1, 2, 7, 7)),
        case("average ceil", "y = AveragePool <kernel_shape = [3,3], strides = [2,2], ceil_mode = 1> (x)", lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True), x=normal(1, 2, 6, 6)),
        case("global average", "y = GlobalAveragePool (x)", lambda x: F.adaptive_avg_pool2d(x, 1), x=normal(2, 3, 4, 5)),
        case("global max of equal elements", "y = GlobalMaxPool (x)", lambda x: F.adaptive_max_pool2d(x, 1), x=TIES),
    ],
    "norms": [
        case("batch, training", "float[3] m = {0,0,0}, float[3] v = {1,1,1} | y = BatchNormalization (x, s, b, m, v)", lambda x, s, b: F.batch_norm(x, None, None, s, b, True), batch_norm="batch", x=normal(4, 3, 3, 2), s=normal(3), b=normal(3)),
        case("batch, frozen", "float[3] m = {0.1,-0.2,0.3}, float[3] v = {1,2,0.5} | y = BatchNormalization (x, s, b, m, v)", lambda x, s, b: F.batch_norm(x, torch.tensor([0.1, -0.2, 0.3]).double(), torch.tensor([1, 2, 0.5]).double(), s, b, False), x=normal(4, 3, 3, 2), s=normal(3), b=normal(3)),
        case("layer", "y = LayerNormalization (x, s, b)", lambda x, s, b: F.layer_norm(x, (6,), s, b), x=normal(2, 3, 6), s=normal(6), b=normal(6)),
        case("layer, two axes", "y = LayerNormalization <axis = 1> (x, s, b)", lambda x, s, b: F.layer_norm(x, (3, 4), s, b), x=normal(2, 3, 4), s=normal(3, 4), b=normal(3, 4)),
        case("group", "y = GroupNormalization <num_groups = 3> (x, s, b)", lambda x, s, b: F.group_norm(x, 3, s, b), x=normal(2, 6, 3, 2), s=normal(6), b=normal(6)),
        case("instance", "y = InstanceNormalization (x, s, b)", lambda x, s, b: F.instance_norm(x, weight=s, bias=b), x=normal(2, 3, 4, 5), s=normal(3), b=normal(3)),
        case("root mean square", "y = RMSNormalization (x, s)", lambda x, s: F.rms_norm(x, (5,), s, 1e-5), opset=23, x=normal(2, 3, 5), s=normal(5)),
    ],
    "softmax": [
        case("last axis", "y = Softmax (x)", lambda x: F.softmax(x, -1), x=normal(3, 5)),
        case("middle axis", "y = Softmax <axis = 1> (x)", lambda x: F.softmax(x, 1), x=normal(2, 3, 4)),
        case("logarithm", "y = LogSoftmax (x)", lambda x: F.log_softmax(x, -1), x=normal(3, 5) * 10),
    ],
    "matmul": [
        case("matrices", "y = MatMul (a, b)", lambda a, b: a @ b, a=normal(2, 3), b=normal(3, 4)),
        case("weights", "y = MatMul (a, b)", lambda a, b: a @ b, a=normal(2, 5, 3), b=normal(3, 4)),
        case("broadcast batch", "y = MatMul (a, b)", lambda a, b: a @ b, a=normal(2, 1, 2, 3), b=normal(5, 3, 2)),
        case("vector", "y = MatMul (a, b)", lambda a, b: a @ b, a=normal(3), b=normal(2, 3, 4)),
        case("linear", "y = Gemm <transB = 1> (a, b, c)", lambda a, b, c: F.linear(a, b, c), a=normal(4, 3), b=normal(5, 3), c=normal(5)),
    ],
    "gather": [
        case("embedding", "y = Gather (x, i)", lambda x, i: F.embedding(i, x), x=normal(6, 3), i=np.array([[0, 5, 5], [1, 0, 5]])),
        case("axis 1", "y = Gather <axis = 1> (x, i)", lambda x, i: torch.index_select(x, 1, i), x=normal(2, 4, 3), i=np.array([3, 3, 0])),
        case("elements", "y = GatherElements <axis = 1> (x, i)", lambda x, i: torch.gather(x, 1, i), x=normal(2, 4), i=np.array([[3, 3, 0], [1, 2, 1]])),
    ],
    "resize": [
        case(name, f"float[4] s = {{1,1,{s},{s}}} | y = Resize <{attrs}> (x, , s)", (lambda kw: lambda x: F.interpolate(x, scale_factor=kw["s"], mode=kw["mode"], **kw["more"]))({"s": s, "mode": mode, "more": more}), x=normal(1, 2, 4, 6))
        for name, s, mode, attrs, more in [
            ("nearest up", 2, "nearest", 'coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"', {}),
            ("nearest down", 0.5, "nearest", 'coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"', {}),
            ("linear up", 2, "bilinear", 'mode = "linear"', {}),
            ("linear down", 0.5, "bilinear", 'mode = "linear"', {}),
            ("linear, corners aligned", 2, "bilinear", 'mode = "linear", coordinate_transformation_mode = "align_corners"', {"align_corners": True}),
            ("cubic up", 2, "bicubic", 'mode = "cubic"', {}),
        ]
    ],
    "corners": [
        case(name, graph, f, x=CORNERS)
        for name, graph, f in [
            ("Relu", "y = Relu (x)", F.relu),
            ("LeakyRelu", "y = LeakyRelu <alpha = 0.1> (x)", lambda x: F.leaky_relu(x, 0.1)),
            ("Abs", "y = Abs (x)", torch.abs),
            ("Clip", "float l = {-1}, float h = {1} | y = Clip (x, l, h)", lambda x: torch.clamp(x, -1, 1)),
            ("Elu", "y = Elu (x)", F.elu),
            ("HardSigmoid", "y = HardSigmoid <alpha = 0.16666667> (x)", F.hardsigmoid),
            ("HardSwish", "y = HardSwish (x)", F.hardswish),
            ("Gelu", "y = Gelu (x)", F.gelu),
            ("Gelu, tanh", 'y = Gelu <approximate = "tanh"> (x)', lambda x: F.gelu(x, approximate="tanh")),
            ("Mish", "y = Mish (x)", F.mish),
            ("ReduceMax of equal elements", "y = ReduceMax <keepdims = 0> (x)", torch.amax),
        ]
    ],
}
flat = np.array([[1, 3, 3, 2]], np.float32)
files["corners"].append(case("ReduceMax, twice the largest", "int64[1] a = {1} | y = ReduceMax (x, a)", lambda x: torch.amax(x, 1, keepdim=True), x=flat))


def loss_case(name, options, prediction, function, **targets):
    x = torch.tensor(prediction).double().requires_grad_()
    value = function(x, **{k: torch.tensor(v).double() if np.asarray(v).dtype.kind == "f" else torch.tensor(v) for k, v in targets.items()})
    value.backward()
    return {"loss": name, "options": options, "prediction": packed(prediction), "targets": {k: packed(v) for k, v in targets.items()}, "value": value.item(), "gradient": packed(x.grad.numpy())}


labels = np.array([1, 0, 3])
shares = F.softmax(torch.tensor(normal(3, 4)), -1).numpy()
tokens, mask = np.array([[1, 4, 2], [0, 3, 3]]), np.array([[1, 1, 0], [1, 0, 1]], np.float32)
masked = lambda x, target, mask: (F.cross_entropy(x.flatten(0, 1), target.flatten(), reduction="none") * mask.flatten()).sum() / mask.sum()
T = 4
files["losses"] = [
    loss_case("cross-entropy", {}, normal(3, 4), lambda x, target: F.cross_entropy(x, target), target=labels),
    loss_case("cross-entropy", {"smoothing": 0.1}, normal(3, 4), lambda x, target: F.cross_entropy(x, target, label_smoothing=0.1), target=labels),
    loss_case("cross-entropy", {"target": "distribution"}, normal(3, 4), lambda x, target: F.cross_entropy(x, target), target=shares),
    loss_case("cross-entropy", {"target": "distribution", "smoothing": 0.2}, normal(3, 4), lambda x, target: F.cross_entropy(x, target, label_smoothing=0.2), target=shares),
    loss_case("cross-entropy", {"axis": 1}, normal(2, 4, 3, 2), lambda x, target: F.cross_entropy(x, target), target=rng.integers(0, 4, (2, 3, 2))),
    loss_case("token-cross-entropy", {}, normal(2, 3, 5), masked, target=tokens, mask=mask),
    loss_case("binary-cross-entropy", {}, normal(3, 4) * 20, lambda x, target: F.binary_cross_entropy_with_logits(x, target), target=shares),
    loss_case("kl", {}, normal(3, 4) * 3, lambda x, target: F.kl_div(F.log_softmax(x / T, -1), F.log_softmax(target / T, -1), log_target=True, reduction="batchmean") * T * T, target=normal(3, 4) * 3),
    loss_case("mse", {}, normal(3, 4), lambda x, target: F.mse_loss(x, target), target=normal(3, 4)),
    loss_case("cosine", {}, normal(3, 4), lambda x, target: (1 - F.cosine_similarity(x, target)).mean(), target=normal(3, 4)),
]


def optimiser_case(name, options, make, rate=0.1, steps=3):
    w = torch.tensor(normal(2, 3)).double().requires_grad_()
    first, optimiser = packed(w.detach().numpy()), make([w], rate)
    gradients, after = [], []
    for _ in range(steps):
        g = normal(2, 3)
        w.grad = torch.tensor(g).double()
        optimiser.step()
        gradients.append(packed(g))
        after.append(packed(w.detach().numpy().copy()))
    return {"optimiser": name, "options": options, "rate": rate, "weight": first, "gradients": gradients, "after": after}


O = torch.optim


def muon(p, lr, **more):
    """torch's iterates in bfloat16 whatever it is given, which is an approximation for speed."""
    torch.Tensor.bfloat16 = torch.Tensor.clone
    return O.Muon(p, lr, adjust_lr_fn="match_rms_adamw", **more)


files["optimisers"] = [
    optimiser_case("sgd", {"momentum": 0}, lambda p, lr: O.SGD(p, lr)),
    optimiser_case("sgd", {"momentum": 0.9, "decay": 0.01}, lambda p, lr: O.SGD(p, lr, 0.9, weight_decay=0.01)),
    optimiser_case("sgd", {"momentum": 0.9, "nesterov": True, "decay": 0.01}, lambda p, lr: O.SGD(p, lr, 0.9, weight_decay=0.01, nesterov=True)),
    optimiser_case("adam", {}, lambda p, lr: O.Adam(p, lr)),
    optimiser_case("adam", {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3, "decay": 0.1}, lambda p, lr: O.Adam(p, lr, (0.8, 0.95), 1e-3, 0.1)),
    optimiser_case("adamw", {}, lambda p, lr: O.AdamW(p, lr)),
    optimiser_case("adamw", {"decay": 0.3}, lambda p, lr: O.AdamW(p, lr, weight_decay=0.3)),
    optimiser_case("muon", {"decay": 0}, lambda p, lr: muon(p, lr, weight_decay=0)),
    optimiser_case(
        "muon",
        {"momentum": 0.8, "nesterov": False, "iterations": 7, "decay": 0.1},
        lambda p, lr: muon(p, lr, momentum=0.8, nesterov=False, ns_steps=7, weight_decay=0.1),
    ),
]

OUT.mkdir(parents=True, exist_ok=True)
for name, cases in files.items():
    text = json.dumps({"source": f"torch {torch.__version__.split('+')[0]}, float64", "cases": cases}, separators=(",", ":"))
    (OUT / f"{name}.json").write_text(text.replace('{"name"', '\n{"name"').replace('{"loss":', '\n{"loss":').replace('{"optimiser":', '\n{"optimiser":') + "\n")
