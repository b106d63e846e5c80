"""Trains calibration-data/demo.onnx: a small residual net (~18.8 M MACs, 0.7 MB) on the glyphs of scripts/glyphs.mjs.

  python3 -m venv .venv && .venv/bin/pip install torch==2.13.0 numpy pillow onnx onnxruntime==1.30.0
  mkdir -p .cache && node scripts/glyphs.mjs --raw .cache/glyphs-train.bin --per-class 3000 --seed 3
  .venv/bin/python scripts/train-demo.py .cache/glyphs-train.bin && node scripts/glyphs.mjs --manifest

Input `input` [batch, 3, 32, 32]: RGB, (x / 255 - 0.5) / 0.25. Output `logits` [batch, 10], classes in order of name.
BatchNormalization is left unfolded in the file, so that the workbench has something to fold.
"""
import os, sys, tarfile, time
import numpy as np, onnx, onnxruntime, torch
from PIL import Image
from torch import nn

EPOCHS, BATCH, PEAK_RATE, BUDGET_S = 12, 64, 4e-3, 250
HOME = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "calibration-data")


def conv_bn(inputs, outputs, kernel, stride=1, groups=1, activation=None):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([activation] if activation else []))


class Residual(nn.Module):
    """A plain basic block."""
    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(conv_bn(channels, channels, 3, activation=nn.ReLU()), conv_bn(channels, channels, 3))

    def forward(self, x):
        return torch.relu(x + self.body(x))


class Inverted(nn.Module):
    """MobileNetV2's block: expand, depthwise, project; added to its input where shapes allow."""
    def __init__(self, inputs, outputs, stride, expand):
        super().__init__()
        hidden = inputs * expand
        self.adds = stride == 1 and inputs == outputs
        self.body = nn.Sequential(conv_bn(inputs, hidden, 1, activation=nn.ReLU6()),
                                  conv_bn(hidden, hidden, 3, stride, hidden, nn.ReLU6()), conv_bn(hidden, outputs, 1))

    def forward(self, x):
        return x + self.body(x) if self.adds else self.body(x)


class Demo(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            conv_bn(3, 32, 3, 2, activation=nn.ReLU()), Residual(32), Residual(32), Inverted(32, 64, 2, 4),
            Residual(64), Inverted(64, 64, 1, 4), conv_bn(64, 128, 1, activation=nn.ReLU()))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.pool(self.features(x)).flatten(1))


def prepare(images):
    """uint8 [N,32,32,3] to float32 [N,3,32,32]."""
    return (images.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25


def read_split(split):
    with tarfile.open(os.path.join(HOME, "glyphs", split + ".tar")) as archive:
        names = sorted(archive.getnames())
        classes = sorted({name.split("/")[0] for name in names})
        images = [np.asarray(Image.open(archive.extractfile(name)).convert("RGB")) for name in names]
    return np.stack(images), np.array([classes.index(name.split("/")[0]) for name in names])


def main():
    torch.manual_seed(0)
    torch.set_num_threads(2)
    images = np.fromfile(sys.argv[1], np.uint8).reshape(-1, 32, 32, 3)
    labels = torch.from_numpy(np.fromfile(sys.argv[1] + ".labels", np.uint8).astype(np.int64))
    test_images, test_labels = read_split("test")
    calibration_images, _ = read_split("calibration")
    splits = [{i.tobytes() for i in part} for part in (images, test_images, calibration_images)]
    assert sum(map(len, splits)) == len(set().union(*splits)), "an image lies in two splits"

    model, loss_of = Demo().to(memory_format=torch.channels_last), nn.CrossEntropyLoss(label_smoothing=0.05)
    steps = len(images) // BATCH * EPOCHS
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.02)
    start, step, done = time.time(), 0, 0.0
    pixels = torch.from_numpy(images)
    test = prepare(torch.from_numpy(test_images))
    while done < 1:
        order = torch.randperm(len(images))
        for at in range(0, len(images) - BATCH + 1, BATCH):
            # Every class is closed under mirroring and quarter turns.
            done = max(step / steps, (time.time() - start) / BUDGET_S)  # a slow machine makes fewer steps, not a longer wait
            if done >= 1:
                break
            rate = PEAK_RATE * (min(1, done / 0.15) if done < 0.15 else 0.5 * (1 + np.cos(np.pi * (done - 0.15) / 0.85)))
            for group in optimizer.param_groups:
                group["lr"] = rate
            pick = order[at:at + BATCH]
            x = prepare(pixels[pick])
            x = torch.rot90(x, int(torch.randint(4, ())), (2, 3))
            if torch.rand(()) < 0.5:
                x = x.flip(3)
            optimizer.zero_grad()
            loss = loss_of(model(x.contiguous(memory_format=torch.channels_last)), labels[pick])
            loss.backward()
            optimizer.step()
            step += 1
        model.eval()
        with torch.no_grad():
            right = (model(test).argmax(1).numpy() == test_labels).mean()
        model.train()
        print(f"{time.time() - start:5.0f} s  {100 * done:4.0f} %  loss {loss.item():.3f}  test {right:.4f}", flush=True)

    model.eval()
    path = os.path.join(HOME, "demo.onnx")
    torch.onnx.export(model.to(memory_format=torch.contiguous_format), torch.zeros(1, 3, 32, 32), path, dynamo=False, opset_version=17, do_constant_folding=False,
                      training=torch.onnx.TrainingMode.PRESERVE, input_names=["input"], output_names=["logits"],
                      dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}})
    finished = onnx.load(path)
    onnx.checker.check_model(finished, full_check=True)
    counts = {}
    for node in finished.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    predicted = session.run(None, {"input": test.numpy()})[0].argmax(1)
    print(counts, os.path.getsize(path), "bytes, top-1 in onnxruntime", (predicted == test_labels).mean())
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (test_labels, predicted), 1)
    print(confusion)


main()
