"""PyTorch's side of bench/training.mjs: NET FOLDER BATCH THREADS RATE [float64]. Eager mode, with torch 2.13.0.

A training step (forward, backward, SGD with momentum) for each line "step" on standard input, and the peak of memory at
the end. The nets have the weights that lie in FOLDER, by name.
"""
import json
import re
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

net_name, folder, batch, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(threads)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.more, self.stride = (outputs - inputs) // 2, stride

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more, self.more))
        return F.relu(x + y)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        stage = lambda i, o, s: nn.Sequential(Block(i, o, s), Block(o, o, 1), Block(o, o, 1))
        self.layer1, self.layer2, self.layer3 = stage(16, 16, 1), stage(16, 32, 2), stage(32, 64, 2)
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


def unit(i, o, k, stride=1, groups=1):
    return nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o)


class Inverted(nn.Module):
    def __init__(self, i, o, expand, stride):
        super().__init__()
        wide = i * expand
        if expand > 1:
            self.c0, self.n0 = unit(i, wide, 1)
        self.c1, self.n1 = unit(wide, wide, 3, stride, wide)
        self.c2, self.n2 = unit(wide, o, 1)
        self.expands, self.adds = expand > 1, stride == 1 and i == o

    def forward(self, x):
        y = F.relu6(self.n0(self.c0(x))) if self.expands else x
        y = self.n2(self.c2(F.relu6(self.n1(self.c1(y)))))
        return x + y if self.adds else y


class MobileNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(*unit(3, 16, 3), nn.ReLU6())
        blocks, channels = [], 16
        for expand, out, repeats, first in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 3, 2)]:
            for i in range(repeats):
                blocks.append(Inverted(channels, out, expand, 1 if i else first))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(*unit(channels, 256, 1), nn.ReLU6())
        self.fc = nn.Linear(256, 10)

    def forward(self, x):
        return self.fc(self.head(self.blocks(self.stem(x))).mean((2, 3)))


net = {"resnet20": ResNet20, "mobilenet": MobileNet}[net_name]()
raw = np.fromfile(f"{folder}/weights.bin", np.float32)
state = net.state_dict()
for part in json.load(open(f"{folder}/weights.json")):
    if part["name"] in state:
        count = int(np.prod(part["dims"]))
        values = raw[part["at"] : part["at"] + count].reshape(part["dims"])
        state[part["name"]] = torch.from_numpy(values.copy()).reshape(state[part["name"]].shape)
given = {part["name"] for part in json.load(open(f"{folder}/weights.json"))}
missing = [name for name in state if not name.endswith("num_batches_tracked") and name not in given]
assert not missing, missing
net.load_state_dict(state)
dtype = torch.float64 if "float64" in sys.argv else torch.float32
net.train().to(dtype)
optimiser = torch.optim.SGD(net.parameters(), float(sys.argv[5]), 0.9)
images = torch.from_numpy(np.fromfile(f"{folder}/images.bin", np.float32)).reshape(-1, batch, 3, 32, 32)
labels = torch.tensor(json.load(open(f"{folder}/labels.json"))).reshape(-1, batch)
print("{}", flush=True)
for at, line in enumerate(sys.stdin):
    if line.strip() == "end":
        peak = 1024 * int(re.search(r"VmHWM:\s*(\d+)", open("/proc/self/status").read()).group(1))
        print(json.dumps({"peak": peak}), flush=True)
        break
    start, before = time.perf_counter(), time.process_time()
    optimiser.zero_grad()
    loss = F.cross_entropy(net(images[at].to(dtype)), labels[at])
    loss.backward()
    optimiser.step()
    value = loss.item()
    ms, cpu = 1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - before)
    print(json.dumps({"ms": ms, "cpu": cpu, "loss": value}), flush=True)
