"""Containers as a cluster of the strictest kind would start them."""

from __future__ import annotations

import json
import subprocess
from typing import Any

# A user that the image has never heard of, in the group that OpenShift gives to such users.
USER = "12345:0"
RESTRICTED = [
    "--read-only",
    "--tmpfs=/tmp",
    f"--user={USER}",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
]
# The same for kfp.local's DockerRunner.
RESTRICTED_RUN: dict[str, Any] = {
    "read_only": True,
    "tmpfs": {"/tmp": ""},
    "user": USER,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
}
INSTALLED = """
import json
from importlib.metadata import distributions
print(json.dumps({item.name: [item.version, item.requires or []] for item in distributions()}))
"""


def docker(*arguments: str) -> str:
    """What a command of Docker prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def run(
    image: str, *command: str, network: str = "none", options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a command in a container that may write nowhere but to /tmp."""
    start = ["docker", "run", "--rm", f"--network={network}", *RESTRICTED, *options, image]
    return subprocess.run([*start, *command], capture_output=True, text=True, timeout=300)


def printed(image: str, *command: str) -> str:
    """What a command that must succeed prints on stdout."""
    done = run(image, *command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def inspect(image: str) -> dict[str, Any]:
    """Docker's own description of an image."""
    (found,) = json.loads(docker("image", "inspect", image))
    return dict(found)
