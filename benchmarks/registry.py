"""How fast versions are published, pulled and verified, beside what the machine can do.

    python benchmarks/registry.py [--bytes 2000000000] [--rounds 3] [--check]

Prints one JSON object a line: what, value (median bytes per second), unit, the peer's name and value,
and the ratio to it. The peers do the same without hashing, with the same number of threads, in the same
run, in turns: `transfer_manager` against the emulator of a bucket, which handles one request at a time;
a copy of each file that waits until it is on disk, as publishing and pulling do; and `sha256sum` on
all cores. What was written is deleted as soon as it is timed: a virtual machine gets memory that it
never used far more slowly than memory that it used before (turn off its balloon driver, if it returns
unused memory, and fill its memory once before this). `--check` exits 1 where a floor is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from aegan.registry import Registry
from aegan.transfers import WORKERS, in_parallel
from tests.gcs import BUCKET

FILES = 32
FLOORS = {
    "publish to a bucket": 0.8,
    "pull from a bucket": 0.8,
    "publish to a folder": 0.8,
    "pull from a folder": 0.8,
    "verify a folder": 0.9,
}
EMULATOR = """
import sys, time
from tests.gcs import StrictEmulator
with StrictEmulator() as running:
    print(running.url, flush=True)
    sys.stdin.read()
"""


def source(folder: Path, size: int) -> Path:
    """Files of random bytes, of equal size."""
    for number in range(FILES):
        path = folder / "serving" / f"{number:02d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size // FILES))
    return folder


def copy(folder: Path, target: Path) -> None:
    """The peer: every file, in as many threads, safe on disk."""

    def one(path: Path) -> None:
        to = target / path.relative_to(folder)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
        with to.open("rb") as file:
            os.fsync(file.fileno())

    in_parallel(one, [path for path in folder.rglob("*") if path.is_file()])


def upload(folder: Path, prefix: str) -> None:
    from google.cloud.storage import Client, transfer_manager

    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    transfer_manager.upload_many_from_filenames(
        Client(project="emulator").bucket(BUCKET),
        names,
        source_directory=str(folder),
        blob_name_prefix=f"{prefix}/",
        worker_type=transfer_manager.THREAD,
        max_workers=WORKERS,
        raise_exception=True,
    )


def download(prefix: str, target: Path) -> None:
    from google.cloud.storage import Client, transfer_manager

    bucket = Client(project="emulator").bucket(BUCKET)
    names = [blob.name for blob in bucket.list_blobs(prefix=f"{prefix}/")]
    transfer_manager.download_many_to_path(
        bucket,
        names,
        destination_directory=str(target),
        worker_type=transfer_manager.THREAD,
        max_workers=WORKERS,
        raise_exception=True,
    )


def sha256sum(folder: Path) -> None:
    command = f"find {folder} -type f -print0 | xargs -0 -n1 -P{os.cpu_count()} sha256sum"
    subprocess.run(["sh", "-c", command], check=True, stdout=subprocess.DEVNULL)


def seconds(function: Callable[[], object], leaves: Path | None = None) -> float:
    """How long it takes; what it leaves is deleted."""
    begin = time.perf_counter()
    function()
    taken = time.perf_counter() - begin
    if leaves is not None:
        shutil.rmtree(leaves)
    return taken


def measure(
    ours: Callable[[], float], peer: Callable[[], float], number: int
) -> tuple[float, float]:
    """Both once; in every other round the peer first."""
    if number % 2:
        return ours(), peer()
    there = peer()
    return ours(), there


def bucket_round(folder: Path, scratch: Path, number: int) -> dict[str, tuple[float, float]]:
    """A round against an emulator of its own, which is started anew so that its memory is given back."""
    root = str(Path(__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", EMULATOR],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=root,
    ) as emulator:
        assert emulator.stdout is not None
        assert emulator.stdin is not None
        os.environ["STORAGE_EMULATOR_HOST"] = emulator.stdout.readline().strip()
        registry, versions = Registry(f"gs://{BUCKET}/ours"), []
        pulled = scratch / "pulled"
        found = {
            "publish to a bucket": measure(
                lambda: seconds(lambda: versions.append(registry.publish("m", folder))),
                lambda: seconds(lambda: upload(folder, "peer")),
                number,
            ),
            "pull from a bucket": measure(
                lambda: seconds(lambda: registry.pull("m", versions[0], pulled), pulled),
                lambda: seconds(lambda: download("peer", pulled), pulled),
                number,
            ),
        }
        emulator.stdin.close()
    return found


def folder_round(folder: Path, scratch: Path, number: int) -> dict[str, tuple[float, float]]:
    registry, versions = Registry(str(scratch / "root")), []
    copied = scratch / "copied"
    found = {
        "publish to a folder": measure(
            lambda: seconds(lambda: versions.append(registry.publish("m", folder))),
            lambda: seconds(lambda: copy(folder, copied), copied),
            number,
        ),
        "pull from a folder": measure(
            lambda: seconds(lambda: registry.pull("m", versions[0], copied), copied),
            lambda: seconds(lambda: copy(folder, copied), copied),
            number,
        ),
    }
    place = Path(registry.uri("m", versions[0]))
    found["verify a folder"] = measure(
        lambda: seconds(lambda: registry.verify("m", versions[0])),
        lambda: seconds(lambda: sha256sum(place)),
        number,
    )
    return found


PEERS = {
    "publish to a bucket": "transfer_manager",
    "pull from a bucket": "transfer_manager",
    "publish to a folder": "copy and fsync",
    "pull from a folder": "copy and fsync",
    "verify a folder": f"sha256sum -P{os.cpu_count()}",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=2_000_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    times: dict[str, list[tuple[float, float]]] = {what: [] for what in FLOORS}
    with tempfile.TemporaryDirectory() as name:
        folder = source(Path(name) / "source", options.bytes)
        for number in range(options.rounds):
            for measured in (folder_round, bucket_round):
                with tempfile.TemporaryDirectory(dir=name) as scratch:
                    for what, pair in measured(folder, Path(scratch), number).items():
                        times[what].append(pair)
    missed = False
    for what, pairs in times.items():
        ours, peer = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(there / here for here, there in pairs)
        line = {"what": what, "value": round(options.bytes / ours), "unit": "bytes/s"}
        line |= {"peer": PEERS[what], "peer_value": round(options.bytes / peer)}
        line |= {"ratio": round(ratio, 3), "at_least": FLOORS[what], "bytes": options.bytes}
        print(json.dumps(line), flush=True)
        missed = missed or ratio < FLOORS[what]
    return int(missed and options.check)


if __name__ == "__main__":
    sys.exit(main())
