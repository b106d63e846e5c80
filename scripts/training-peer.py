"""Time of a training step of ResNet-20 in PyTorch eager mode, to hold beside bench/training.mjs.

    pip install torch==2.13.0 && python scripts/training-peer.py --batch 128 --threads 2 --steps 12

Forward, backward and SGD with momentum on random images. Prints the least and the median of the times and the least
time of processors, in ms.
"""
import argparse
import json
import time

import torch
import torch.nn.functional as F
from torch import nn

arguments = argparse.ArgumentParser()
for name, default in {"batch": 128, "threads": 2, "steps": 12}.items():
    arguments.add_argument(f"--{name}", type=int, default=default)
options = arguments.parse_args()
torch.set_num_threads(options.threads)
torch.manual_seed(1)


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


sizes = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
net = nn.Sequential(
    nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *[Block(*s) for s in sizes],
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
)
optimiser = torch.optim.SGD(net.parameters(), 0.01, 0.9)
x, labels = torch.randn(options.batch, 3, 32, 32), torch.randint(0, 10, (options.batch,))
times, work = [], []
for _ in range(options.steps):
    start, before = time.perf_counter(), time.process_time()
    optimiser.zero_grad()
    F.cross_entropy(net(x), labels).backward()
    optimiser.step()
    times.append(1e3 * (time.perf_counter() - start))
    work.append(1e3 * (time.process_time() - before))
times.sort()
print(json.dumps({"least": round(times[0]), "median": round(times[len(times) // 2]), "leastCpu": round(min(work))}))
