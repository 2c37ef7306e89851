"""`make image`: builds an image, writes its list of contents, and prints what makes up its size.

Needs Docker and a bare Python; see docker/Dockerfile for what is built.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
MACHINE = ROOT / "docker" / "machine"
NAME = "aegan/aegan-python"
FLAVOURS = ("cpu", "gpu", "cli")
SBOM = "/opt/aegan/share/sbom.cdx.json"
# What pip.conf may say of how to reach an index; everything else is none of the build's business.
SETTINGS = (
    "default-timeout",
    "extra-index-url",
    "find-links",
    "index-url",
    "no-index",
    "proxy",
    "retries",
    "timeout",
    "trusted-host",
)
CERTIFICATES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
# Runs in the image: bytes of each distribution, its own list of files and their bytecode.
SIZES = """
import json, pathlib
from importlib.metadata import distributions
from importlib.util import cache_from_source
sizes = {}
for item in distributions(path=["/opt/aegan/lib/python3.11/site-packages"]):
    paths = {pathlib.Path(file.locate()) for file in item.files or ()}
    paths |= {pathlib.Path(cache_from_source(path)) for path in paths if path.suffix == ".py"}
    sizes[item.name] = sum(path.stat().st_size for path in paths if path.is_file())
print(json.dumps(sizes))
"""


def main() -> None:
    """Build one flavour; the settings of the machine are read anew each time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flavour", choices=FLAVOURS, default="cpu")
    parser.add_argument("--base", help="the image to start from; default: the Dockerfile's")
    parser.add_argument("--name", action="store_true", help="print the image's name and do nothing")
    options = parser.parse_args()
    flavour, name, base = options.flavour, image_name(options.flavour), options.base or _base()
    if options.name:
        print(name)
        return
    write_machine_settings()
    build(name, flavour, base)
    sbom = ROOT / "build" / f"sbom-{flavour}.cdx.json"
    write_sbom(name, sbom)
    print(f"built {name}\nwrote {sbom.relative_to(ROOT)}\n{describe_size(name, base)}")


def version() -> str:
    """The package's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project["version"])


def image_name(flavour: str) -> str:
    """The image that steps run in by default is `cpu` and has no suffix."""
    return f"{NAME}:{version()}" + ("" if flavour == "cpu" else f"-{flavour}")


def build(name: str, flavour: str, base: str) -> None:
    """Run `docker build`; a base that is named by its digest is the same every time."""
    labels = {"VERSION": version(), "REVISION": _revision(), "SOURCE": _source()}
    arguments = [f"--build-arg={key}={value}" for key, value in labels.items()]
    # Docker knows these and keeps them out of the image.
    arguments += [f"--build-arg={key}" for key in PROXIES if os.environ.get(key)]
    command = ["docker", "build", "--network=host", "--file=docker/Dockerfile", f"--tag={name}"]
    command += [f"--build-arg=PYTHON={base}", f"--build-arg=FLAVOUR={flavour}", *arguments, "."]
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ | {"DOCKER_BUILDKIT": "0"})


def write_machine_settings() -> None:
    """Leave in docker/machine what pip needs on this machine; nothing if it needs nothing."""
    for name in ("pip.conf", "ca.crt"):
        (MACHINE / name).unlink(missing_ok=True)
    told = _output(sys.executable, "-m", "pip", "config", "list")
    found = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
    values = {key.split(".")[-1]: shlex.split(value)[0] for key, value in found.items() if value}
    lines = [f"{key} = {values[key]}" for key in SETTINGS if values.get(key)]
    # A folder of this machine's is not there in the build.
    lines = [line for line in lines if not line.startswith("find-links") or "://" in line]
    known = [values.get("cert"), *(os.environ.get(name) for name in CERTIFICATES)]
    certificates = next((path for path in known if path and Path(path).is_file()), None)
    if certificates is not None:
        shutil.copyfile(certificates, MACHINE / "ca.crt")
        lines.append("cert = /build/machine/ca.crt")
    (MACHINE / "pip.conf").write_text("\n".join(["[global]", *lines, ""]), "utf-8")


def write_sbom(name: str, path: Path) -> None:
    """Copy the CycloneDX list of contents out of an image."""
    path.parent.mkdir(exist_ok=True)
    container = _output("docker", "create", name, "true")
    try:
        subprocess.run(
            ["docker", "cp", f"{container}:{SBOM}", str(path)], check=True, capture_output=True
        )
    finally:
        _output("docker", "rm", container)


def describe_size(name: str, base_name: str) -> str:
    """Where the megabytes are."""
    total, base = _size(name), _size(base_name)
    run = ["docker", "run", "--rm", "--network=none", name, "python", "-c", SIZES]
    sizes = sorted(json.loads(_output(*run)).items(), key=lambda item: -item[1])
    largest, others = sizes[:10], sizes[10:]
    rows = [(name, total), ("  Python and Debian", base), *((f"  {n}", s) for n, s in largest)]
    rest = sum(size for _, size in others)
    rows.append((f"  {len(others)} other distributions", rest))
    rows.append(("  else", total - base - rest - sum(size for _, size in largest)))
    return "\n".join(f"{size / 1e6:8.1f} MB  {label}" for label, size in rows)


def _base() -> str:
    lines = (ROOT / "docker" / "Dockerfile").read_text("utf-8").splitlines()
    return next(line.removeprefix("ARG PYTHON=") for line in lines if line.startswith("ARG PYTHON"))


def _size(name: str) -> int:
    return int(_output("docker", "image", "inspect", "--format={{.Size}}", name))


def _revision() -> str:
    try:
        changed = _output("git", "-C", str(ROOT), "status", "--porcelain")
        return _output("git", "-C", str(ROOT), "rev-parse", "HEAD") + ("-changed" * bool(changed))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _source() -> str:
    """Where the code can be found by others: a remote that is a URL, without anyone's password."""
    try:
        parts = urlsplit(_output("git", "-C", str(ROOT), "remote", "get-url", "origin"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    if parts.scheme != "https" or not parts.hostname:
        return "unknown"
    return f"https://{parts.hostname}{parts.path}"


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename} was not found: install Docker Engine and its client")
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: `{shlex.join(error.cmd)}` ended with {error.returncode}")
