"""Scoring and training of networks on a processor, side by side with torch, in turns.

    python simulations/benchmarks/networks.py --torch-python PATH_OF_AN_INTERPRETER_WITH_TORCH

Both see the same images and, for scores, the same parameters; their scores are compared. Each job
is timed in turns, this package and then torch, and medians are reported. Without such an
interpreter only this package is timed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import jax
import jax.numpy as jnp
import numpy as np

from nfl_pruning.data import load_dataset
from nfl_pruning.networks.models import make_model
from nfl_pruning.networks.scoring import Look, look_at
from nfl_pruning.networks.standardising import network_inputs
from nfl_pruning.networks.training import Training, make_samples, replica, train_replicas
from nfl_pruning.scores import SCORES
from nfl_pruning.selections import select

PEER = Path(__file__).parent / "reference_torch.py"
BATCH, FEATURES = 128, 784


@dataclass(frozen=True)
class Job:
    """What is timed here, and its peers in torch by what each shows."""

    name: str
    run: Callable[[], Any]
    peers: dict[str, str]
    unit: str


class Torch:
    """The peer process."""

    def __init__(self, python: str, folder: Path, x: np.ndarray, y: np.ndarray, nets: Any) -> None:
        arrays: dict[str, Any] = {
            f"{name}{i}": leaf
            for name, net in nets.items()
            for i, leaf in enumerate(torch_order(net))
        }
        path = folder / "data.npz"
        np.savez(path, x=x, y=y, **arrays)
        threads = str(len(os.sched_getaffinity(0)))
        self.process = subprocess.Popen(
            [python, str(PEER), str(path), threads],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.about = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise click.ClickException("the torch interpreter stopped; see its message above.")
        return json.loads(line)

    def __call__(self, job: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(json.dumps(job), file=self.process.stdin, flush=True)
        return self._answer()


def torch_order(params: Any) -> list[np.ndarray]:
    """Weights and biases of a network in torch's order and layout."""
    found = []
    for name, layer in sorted(
        params["params"].items(), key=lambda item: (item[0][:4] != "Conv", item[0])
    ):
        kernel = np.asarray(layer["kernel"])
        if kernel.ndim == 4:
            kernel = kernel.transpose(3, 2, 0, 1)
        elif name == "Dense_0" and "Conv_0" in params["params"]:  # rows are (y, x, channel) here
            kernel = kernel.reshape(7, 7, 32, -1).transpose(3, 2, 0, 1).reshape(64, -1)
        else:
            kernel = kernel.T
        found += [np.ascontiguousarray(kernel), np.asarray(layer["bias"])]
    return found


def jobs(x: jax.Array, y: np.ndarray, nets: dict[str, Any]) -> list[Job]:
    """Everything that is timed, on the images given."""
    models = {name: make_model(name, 10, (28, 28)) for name in nets}
    labels = jnp.asarray(y)
    samples = make_samples(x, np.arange(len(y))[None], y[None])

    def score(net: str, name: str) -> Callable[[], np.ndarray]:
        look = Look((SCORES[name],))

        def run() -> np.ndarray:
            keys = look_at(models[net], nets[net], (x, labels), look=look)[name]
            return np.asarray(SCORES[name].publish(jnp.asarray(keys)))

        return run

    def epoch(net: str) -> Callable[[], None]:
        training = Training(epochs=1, batch_size=BATCH)

        def run() -> None:
            state = train_replicas(
                jax.random.split(jax.random.key(0), 1),
                samples,
                model=models[net],
                training=training,
            )
            jax.block_until_ready(state)

        return run

    plain, factorised = "torch.func vmap(grad)", "torch, same factorised trick"
    grand = {"mlp": {plain: "mlp grand", factorised: "mlp grand, factorised"}}
    grand["cnn"] = {plain: "cnn grand"}
    train_peers = {"mlp": {"torch": "mlp epoch"}}
    train_peers["cnn"] = {"torch": "cnn epoch", "torch, channels last": "cnn epoch, channels last"}
    found = []
    for net in nets:
        found += [
            Job(f"{net} el2n", score(net, "el2n"), {"torch": f"{net} el2n"}, "samples/s"),
            Job(f"{net} grand", score(net, "grand"), grand[net], "samples/s"),
            Job(f"{net} training", epoch(net), train_peers[net], "images/s"),
        ]
    return found


def ten_seeds(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Seconds of 10 epochs on all images for 10 stacked seeds, and share of the matrix ceiling."""
    model, rows = make_model("mlp", 10, (28, 28)), np.tile(np.arange(len(y)), (10, 1))
    samples = make_samples(jnp.asarray(x), rows, y[rows])
    keys = jax.random.split(jax.random.key(0), 10)
    training, times = Training(epochs=10, batch_size=BATCH), []

    def watch(epoch: int, state: Any) -> None:
        jax.block_until_ready(state)
        times.append(time.perf_counter())

    train_replicas(keys, samples, model=model, training=training, on_epoch=watch)
    seconds = times[-1] - times[0]
    steps = len(y) // BATCH * BATCH
    flops = 10 * 10 * steps * (4 * FEATURES * 128 + 6 * (128 * 128 + 128 * 10))
    return seconds, flops / seconds / matrix_rate()


def matrix_rate() -> float:
    """Operations a second of a large float32 matrix product, best of five."""
    a = jnp.ones((2048, 2048))
    product = jax.jit(lambda a: a @ a)
    product(a).block_until_ready()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        product(a).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(times)


def selection_seconds(n: int = 60000, turns: int = 5) -> float:
    """Median seconds a sample of selecting 10 % of ``n`` by exact calibration."""
    values, times = np.random.default_rng(0).exponential(size=n), []
    for turn in range(turns + 1):
        start = time.perf_counter()
        select(jax.random.key(turn), values, 0.1, selection="exact")
        times.append((time.perf_counter() - start) / n)
    return statistics.median(times[1:])


def measure(job: Job, peer: Torch | None, turns: int) -> dict[str, Any]:
    """Median seconds of this package and of its peers, in turns, after one turn to warm up."""
    ours, theirs, apart = [], {name: [] for name in job.peers}, 0.0
    for turn in range(turns + 1):
        start = time.perf_counter()
        values = job.run()
        seconds = time.perf_counter() - start
        if turn:
            ours.append(seconds)
        for name, asked in job.peers.items() if peer else ():
            answer = peer(asked) if peer else {}
            if turn:
                theirs[name].append(answer["seconds"])
            if values is not None:
                expected = np.array(answer["values"])
                apart = max(apart, float(np.abs(values[:50] / expected - 1).max()))
    return {
        "job": job.name,
        "ours": statistics.median(ours),
        "theirs": {name: statistics.median(times) for name, times in theirs.items() if times},
        "difference": apart if peer and "training" not in job.name else None,
        "turns": turns,
    }


@click.command(help=__doc__)
@click.option("--torch-python", metavar="PATH", help="An interpreter that has torch.")
@click.option("--samples", default=10000, show_default=True, help="Images to score and train on.")
@click.option("--turns", default=5, show_default=True, help="Timed turns a job.")
@click.option("--ten-seeds/--no-ten-seeds", "long", default=True, help="10 seeds x 60,000 images.")
@click.option("--out", metavar="FILE", help="Also write the numbers as JSON.")
def main(torch_python: str | None, samples: int, turns: int, long: bool, out: str | None) -> None:
    """Time everything and print a table."""
    data = load_dataset("fashion-mnist")
    x, y = network_inputs(data.x, is_image=True), data.y
    few, labels = jnp.asarray(x[:samples]), y[:samples]
    nets = {}
    for name in ("mlp", "cnn"):
        state = train_replicas(
            jax.random.split(jax.random.key(1), 1),
            make_samples(few, np.arange(2000)[None], labels[None, :2000]),
            model=make_model(name, 10, (28, 28)),
            training=Training(epochs=1, batch_size=BATCH),
        )
        nets[name] = jax.tree.map(np.asarray, replica(state.params, 0))
    found: dict[str, Any] = {"samples": samples, "cores": len(os.sched_getaffinity(0)), "jobs": []}
    found["selection"] = {"seconds_a_sample": selection_seconds()}
    with tempfile.TemporaryDirectory() as folder:
        peer = None
        if torch_python is None:
            click.echo("torch is not compared: --torch-python names an interpreter that has it.")
        else:
            peer = Torch(torch_python, Path(folder), x[:samples], labels, nets)
            found["torch"] = peer.about
        for job in jobs(few, labels, nets):
            row = measure(job, peer, turns)
            found["jobs"].append(row)
            write(found, out)
            click.echo(f"{job.name}: {samples / row['ours']:,.0f} {job.unit}")
            for name, seconds in row["theirs"].items():
                click.echo(
                    f"    {name}: {samples / seconds:,.0f} {job.unit}; "
                    f"we are {seconds / row['ours']:.2f} times as fast"
                )
            if row["difference"] is not None:
                click.echo(f"    largest relative difference of scores: {row['difference']:.1e}")
        if peer is not None:
            peer.process.terminate()
    if long:
        seconds, share = ten_seeds(x, y)
        found["ten_seeds"] = {"seconds": seconds, "share_of_matrix_rate": share}
        click.echo(
            f"mlp, 10 seeds x 10 epochs x {len(y):,} images: {seconds:.1f} s, "
            f"{100 * share:.0f} % of the rate of a large matrix product"
        )
    write(found, out)


def write(found: dict[str, Any], out: str | None) -> None:
    """Keep what has been measured so far."""
    if out is not None:
        Path(out).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
