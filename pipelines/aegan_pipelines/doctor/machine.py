"""Checks of this machine: Python, packages, GPU, disk."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from aegan.versions import installed_version
from aegan_pipelines.doctor.check import Check, Status

EXTRAS = {"train": "training and loading models", "pipelines": "running and compiling pipelines"}
IMPORT_SECONDS = 60.0  # TensorFlow takes 3-6 s to import, and much longer from a cold disk
FEW_BYTES, ENOUGH_BYTES = 1 << 30, 5 << 30
# Prints the devices as the last line: TensorFlow itself may print before.
LIST_GPUS = """
import json, tensorflow as tf
gpus = tf.config.list_physical_devices("GPU")
names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
print(json.dumps({"version": tf.__version__, "gpus": names}))
"""


def python() -> Check:
    """The interpreter against what the package asks for."""
    wanted = importlib.metadata.metadata("aegan")["Requires-Python"]
    found = platform.python_version()
    if SpecifierSet(wanted).contains(found, prereleases=True):
        return Check("Python", "ok", f"{found} at {sys.executable}")
    return Check("Python", "fail", f"{found}, expected {wanted}", "install another Python")


def packages() -> list[Check]:
    """Installed versions against what the package asks for: what all need, then each extra."""
    wanted = [Requirement(text) for text in importlib.metadata.requires("aegan") or ()]
    needed = [item for item in wanted if item.marker is None or item.marker.evaluate({"extra": ""})]
    checks = [_group("packages", needed, "pip install --upgrade aegan")]
    for extra, purpose in EXTRAS.items():
        own = [item for item in wanted if item.marker and _only_with(item, extra)]
        name, cure = f"packages [{extra}]", f"pip install --upgrade 'aegan[{extra}]'"
        if any(installed_version(item.name) for item in own):
            checks.append(_group(name, own, cure, if_missing="warn"))
        else:
            checks.append(Check(name, "skip", f"not installed; for {purpose}", cure))
    return checks


def _only_with(item: Requirement, extra: str) -> bool:
    marker = item.marker
    return (
        marker is not None
        and marker.evaluate({"extra": extra})
        and not marker.evaluate({"extra": ""})
    )


def _group(
    name: str, wanted: Iterable[Requirement], cure: str, *, if_missing: Status = "fail"
) -> Check:
    missing, wrong, right = [], [], []
    for item in wanted:
        version = installed_version(item.name)
        if version is None:
            missing.append(item.name)
        elif not item.specifier.contains(version, prereleases=True):
            wrong.append(f"{item.name} {version}, expected {item.specifier}")
        else:
            right.append(f"{item.name} {version}")
    if wrong:
        return Check(name, "fail", "; ".join(wrong), cure)
    if missing:
        return Check(name, if_missing, f"missing: {', '.join(missing)}", cure)
    return Check(name, "ok", ", ".join(right))


def gpu(devices: str = "/dev") -> Check:
    """GPUs that TensorFlow sees, in a process of its own: a broken driver may end it.

    Args:
        devices: where the driver puts its devices.
    """
    if importlib.util.find_spec("tensorflow") is None:
        return Check("GPU", "skip", "TensorFlow is not installed", "pip install 'aegan[train]'")
    there = sorted(path.name for path in Path(devices).glob("nvidia[0-9]*"))
    try:
        done = subprocess.run(
            [sys.executable, "-c", LIST_GPUS],
            capture_output=True,
            text=True,
            timeout=IMPORT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return Check(
            "GPU", "fail", f"TensorFlow was not ready after {IMPORT_SECONDS:g} s", "try again"
        )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        cure = "pip install --force-reinstall 'aegan[train]'"
        return Check("GPU", "fail", f"TensorFlow cannot be imported: {last}", cure)
    try:
        found = json.loads((done.stdout.splitlines() or [""])[-1])
    except ValueError:
        text = "TensorFlow ended without telling which devices it sees"
        return Check("GPU", "fail", text, "pip install --force-reinstall 'aegan[train]'")
    if found["gpus"]:
        return Check("GPU", "ok", f"TensorFlow {found['version']} sees {', '.join(found['gpus'])}")
    if there:
        text = f"TensorFlow {found['version']} sees no GPU, though there is {', '.join(there)}"
        return Check("GPU", "fail", text, "pip install 'aegan[gpu]', or use an image built with it")
    return Check("GPU", "ok", f"none here; TensorFlow {found['version']} computes on the CPU")


def disk(root: str) -> Check:
    """Room for the outputs, where they lie in a folder, and for temporary files."""
    places = [Path(tempfile.gettempdir())]
    if "://" not in root:
        places.insert(0, existing(Path(root)))
    free = {str(place): shutil.disk_usage(place).free for place in places}
    text = ", ".join(f"{size / 2**30:.1f} GiB free in {place}" for place, size in free.items())
    least = min(free.values())
    if least >= ENOUGH_BYTES:
        return Check("disk", "ok", text)
    cure = "make room, or set --root or TMPDIR to a larger disk"
    return Check("disk", "warn" if least >= FEW_BYTES else "fail", text, cure)


def existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    path = path.expanduser().absolute()
    return next(place for place in (path, *path.parents) if place.exists())
