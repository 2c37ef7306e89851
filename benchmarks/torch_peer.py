"""The PyTorch side of `training.py`: plain eager loops, and compiled ones where that works.

    torch_peer.py dense|conv|recurrent BATCH SECONDS

Trains for SECONDS with each variant whenever a line comes in, and prints their samples per second.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

Step = Callable[[int], None]


class GruAutoencoder(nn.Module):  # type: ignore[misc]
    """[B, 24, 6] to itself through a code of 16."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.code = nn.GRU(6, 64, batch_first=True), nn.Linear(64, 16)
        self.decode, self.out = nn.GRU(16, 64, batch_first=True), nn.Linear(64, 6)

    def forward(self, x: Any) -> Any:
        """Encode, repeat the code over time, decode."""
        code = self.code(self.encode(x)[1][0])
        hidden = self.decode(code[:, None].expand(-1, x.shape[1], -1))[0]
        return torch.sigmoid(self.out(hidden))


def dense() -> Any:
    return nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 784), nn.Sigmoid())


def autoencoder(model: Any, shape: tuple[int, ...], batch: int) -> Step:
    data = torch.rand(20_000, *shape)
    order = torch.from_numpy(np.random.default_rng(1).permutation(len(data)))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def step(number: int) -> None:
        start = number * batch % (len(data) - batch)
        rows = data[order[start : start + batch]]
        optimizer.zero_grad(set_to_none=True)
        nn.functional.mse_loss(model(rows), rows).backward()
        optimizer.step()

    return step


def gan(batch: int) -> Step:
    generator = nn.Sequential(
        *[nn.Linear(64, 7 * 7 * 64), nn.Unflatten(1, (64, 7, 7)), nn.LeakyReLU(0.2)],
        *[nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.LeakyReLU(0.2)],
        *[nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Sigmoid()],
    )
    discriminator = nn.Sequential(
        *[nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.2)],
        *[nn.Conv2d(32, 64, 4, 2, 1), nn.LeakyReLU(0.2)],
        *[nn.Flatten(), nn.Linear(7 * 7 * 64, 1)],
    )
    models = (generator, discriminator)
    for model in models:
        model.to(memory_format=torch.channels_last)
    optimizers = [torch.optim.Adam(m.parameters(), 2e-4, (0.5, 0.99)) for m in models]
    data, softplus = torch.rand(10_000, 1, 28, 28), nn.functional.softplus

    def step(number: int) -> None:
        start = number * batch % (len(data) - batch)
        real = data[start : start + batch]
        fake = generator(torch.randn(batch, 64))
        optimizers[1].zero_grad(set_to_none=True)
        d_fake = discriminator(fake.detach())
        (softplus(-discriminator(real)).mean() + softplus(d_fake).mean()).backward()
        optimizers[1].step()
        optimizers[0].zero_grad(set_to_none=True)
        softplus(-discriminator(fake)).mean().backward()
        optimizers[0].step()

    return step


def rate(step: Step, batch: int, seconds: float) -> float:
    """Samples per second after a warm-up."""
    for number in range(5):
        step(number)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        step(count)
        count += 1
    return batch * count / (time.perf_counter() - start)


def main(kind: str, batch: int, seconds: float) -> None:
    """Answer one line with one line."""
    if kind == "conv":
        steps = {"pytorch": gan(batch)}
    else:
        make, shape = {"dense": (dense, (784,)), "recurrent": (GruAutoencoder, (24, 6))}[kind]
        steps = {
            "pytorch": autoencoder(make(), shape, batch),
            "pytorch_compiled": autoencoder(torch.compile(make()), shape, batch),
        }
    for _ in sys.stdin:
        print(json.dumps({n: rate(s, batch, seconds) for n, s in steps.items()}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
