"""What a user of torch would run: training, EL2N and GraNd of the same networks on a processor.

Run by an interpreter that has torch. Reads one JSON request a line (a job's name, or ``exit``) and
answers with one JSON line: seconds, and for scores a few values to compare.
"""

# Torch is another interpreter's: types of it are not known here.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

BATCH, CHUNK = 128, 500


def mlp() -> nn.Sequential:
    """784-128-128-10 with ReLU."""
    return nn.Sequential(
        nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )


def cnn() -> nn.Sequential:
    """Two convolutions of 16 and 32 filters with pooling, 64 hidden units."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1568, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


class Peer:
    """Data and networks; every job is a method that returns values or None."""

    def __init__(self, path: str) -> None:
        with np.load(path) as file:
            self.x, self.y = torch.from_numpy(file["x"]), torch.from_numpy(file["y"])
            weights = {name: file[name] for name in file.files if name.startswith(("mlp", "cnn"))}
        self.nets = {"mlp": mlp(), "cnn": cnn()}
        for name, net in self.nets.items():
            own = [
                torch.from_numpy(weights[f"{name}{i}"]) for i in range(len(list(net.parameters())))
            ]
            with torch.no_grad():
                for parameter, value in zip(net.parameters(), own, strict=True):
                    parameter.copy_(value)

    def el2n(self, net: str) -> torch.Tensor:
        """Norm of softmax minus one-hot."""
        with torch.no_grad():
            parts = [self.nets[net](x).softmax(1) for x in self.x.split(CHUNK)]
        return (torch.cat(parts) - functional.one_hot(self.y, 10)).norm(dim=1)

    def grand_vmap(self, net: str) -> torch.Tensor:
        """torch.func: one gradient a sample, then its norm."""
        model = self.nets[net]
        parameters = {name: value.detach() for name, value in model.named_parameters()}

        def loss(parameters: dict, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            logits = functional_call(model, parameters, (x[None],))
            return functional.cross_entropy(logits, y[None])

        gradient, found = vmap(grad(loss), in_dims=(None, 0, 0)), []
        for x, y in zip(self.x.split(CHUNK), self.y.split(CHUNK), strict=True):
            leaves = gradient(parameters, x, y).values()
            found.append(sum(leaf.flatten(1).square().sum(1) for leaf in leaves).sqrt())
        return torch.cat(found)

    def grand_factorised(self, net: str) -> torch.Tensor:
        """The norm of an outer product is a product of norms: dense layers only."""
        found = []
        for x, y in zip(self.x.split(CHUNK), self.y.split(CHUNK), strict=True):
            a, seen = x, []
            for layer in self.nets[net]:
                if isinstance(layer, nn.Linear):
                    z = layer(a)
                    z.retain_grad()
                    seen.append((a, z))
                    a = z
                else:
                    a = layer(a)
            functional.cross_entropy(a, y, reduction="sum").backward()
            squares = [z.grad.square().sum(1) * (a.detach().square().sum(1) + 1) for a, z in seen]
            found.append(sum(squares).sqrt())
        return torch.cat(found)

    def train(self, net: str, *, channels_last: bool = False) -> None:
        """One epoch of SGD with Nesterov momentum, in batches."""
        model = {"mlp": mlp, "cnn": cnn}[net]()
        if channels_last:
            model = model.to(memory_format=torch.channels_last)
        rule = torch.optim.SGD(
            model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        for rows in torch.randperm(len(self.x)).split(BATCH):
            rule.zero_grad()
            functional.cross_entropy(model(self.x[rows]), self.y[rows]).backward()
            rule.step()


JOBS = {
    "mlp el2n": lambda peer: peer.el2n("mlp"),
    "mlp grand": lambda peer: peer.grand_vmap("mlp"),
    "mlp grand, factorised": lambda peer: peer.grand_factorised("mlp"),
    "mlp epoch": lambda peer: peer.train("mlp"),
    "cnn el2n": lambda peer: peer.el2n("cnn"),
    "cnn grand": lambda peer: peer.grand_vmap("cnn"),
    "cnn epoch": lambda peer: peer.train("cnn"),
    "cnn epoch, channels last": lambda peer: peer.train("cnn", channels_last=True),
}


def main() -> None:
    """Answer requests until the input ends."""
    torch.set_num_threads(int(sys.argv[2]))
    peer = Peer(sys.argv[1])
    print(
        json.dumps({"version": torch.__version__, "threads": torch.get_num_threads()}), flush=True
    )
    for line in sys.stdin:
        start = time.perf_counter()
        values = JOBS[json.loads(line)](peer)
        seconds = time.perf_counter() - start
        shown = None if values is None else values[:50].tolist()
        print(json.dumps({"seconds": seconds, "values": shown}), flush=True)


if __name__ == "__main__":
    main()
