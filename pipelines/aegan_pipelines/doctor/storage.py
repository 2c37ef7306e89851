"""The root and the data source: reachable, readable, writable, and true to preconditions."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from aegan.config import Data
from aegan.data.sources import BUILT_IN, split_uri
from aegan.errors import AeganError, PreconditionError
from aegan.gcs_store import GcsStore
from aegan.store import Store, open_store
from aegan_pipelines.doctor.check import Check, limited
from aegan_pipelines.doctor.machine import existing

CREDENTIALS = (
    "check the name, the network, and the credentials (`gcloud auth application-default login`)"
)
ROLE = "give the account roles/storage.objectUser on the bucket"


def root(uri: str) -> list[Check]:
    """All about the place of the outputs; leaves nothing behind."""
    try:
        with _opened(uri) as store:
            return _probe(store, uri)
    except (AeganError, OSError) as error:
        return [Check("root", "fail", str(error), "give --root a folder or gs://bucket/path")]


@contextlib.contextmanager
def _opened(uri: str) -> Iterator[Store]:
    """The store; for a folder that does not exist yet, one beside where it would be made."""
    if "://" in uri or not uri or existing(Path(uri)) == Path(uri).expanduser().absolute():
        yield open_store(uri)
        return
    with tempfile.TemporaryDirectory(dir=existing(Path(uri)), prefix=".aegan-doctor-") as beside:
        yield open_store(beside)


def _probe(store: Store, uri: str) -> list[Check]:
    """Read, write, write again; what follows a failure is not tried."""
    remote = "://" in uri
    name = f".aegan-doctor-{uuid.uuid4().hex}"
    written, at_work = threading.Event(), set[str]()

    def writable() -> Check:
        store.write(name, b"first", if_generation=0)
        written.set()
        return _writable(store, name, uri)

    looks: dict[str, tuple[Callable[[], Check], str]] = {
        "root readable": (lambda: _readable(store, name, uri), CREDENTIALS if remote else ""),
        "root writable": (writable, ROLE if remote else ""),
        "root preconditions": (lambda: _conditional(store, name, uri), ""),
    }
    checks: list[Check] = []
    for title, (look, cure) in looks.items():
        failed = next((check.name for check in checks if check.status == "fail"), None)
        if failed is not None:
            checks.append(Check(title, "skip", f"not tried: {failed} comes first"))
            continue
        checks.append(limited(title, _noted(look, title, at_work), cure))
    # What was not waited for may write yet.
    late = "root preconditions" in at_work or ("root writable" in at_work and not written.is_set())
    if written.is_set() or late:
        cleaned = limited("root clean", lambda: _deleted(store, name))
        if late or cleaned.status != "ok":
            text = f"{uri}/{name} may be left there, which was written to try it"
            checks.append(Check("root clean", "warn", text, "delete it"))
    return checks


def _noted(look: Callable[[], Check], title: str, at_work: set[str]) -> Callable[[], Check]:
    """The look, whose title stands among those at work as long as it takes."""

    def noted() -> Check:
        at_work.add(title)
        try:
            return look()
        finally:
            at_work.discard(title)

    return noted


def _readable(store: Store, name: str, uri: str) -> Check:
    store.list(name)
    return Check("root readable", "ok", f"{uri} can be listed")


def _writable(store: Store, name: str, uri: str) -> Check:
    if store.read(name) != b"first":
        cure = "use another place; this one loses what is written"
        return Check("root writable", "fail", f"{uri}: read back other bytes", cure)
    return Check("root writable", "ok", f"{uri}: written and read back")


def _conditional(store: Store, name: str, uri: str) -> Check:
    """Create-only files and compare-and-swap, which aliases and locks are built from."""
    # A folder's generations come from the bytes, and comparing them leaves a lock file behind.
    conditions = (0, 1) if "://" in uri else (0,)
    for generation in conditions:
        try:
            store.write(name, b"second", if_generation=generation)
        except PreconditionError:
            continue
        what = (
            "a create-only write over a file" if generation == 0 else "a write of an old generation"
        )
        return Check(
            "root preconditions",
            "fail",
            f"{uri} accepted {what}, so that two runs could overwrite each other",
            "use Google Cloud Storage itself, or an emulator or proxy that honours ifGenerationMatch",
        )
    return Check("root preconditions", "ok", "a second create-only write was refused")


def _deleted(store: Store, name: str) -> Check:
    store.delete(name)
    return Check("root clean", "ok", name)


def source(data: Data, *, in_pods: bool) -> Check:
    """The data source can be listed and read, without downloading it.

    Args:
        data: the section of the configuration.
        in_pods: whether runs go to a cluster, whose pods do not see this machine's files.
    """
    uri, name = data.source, "data source"
    if uri == BUILT_IN:
        if importlib.util.find_spec("sklearn") is None:
            return Check(
                name, "skip", "digits come with scikit-learn", "pip install 'aegan[train]'"
            )
        return Check(name, "ok", "digits, from scikit-learn")
    if uri.startswith("gs://"):
        return limited(name, lambda: _remote_source(uri), CREDENTIALS)
    if in_pods:
        text = f"pods look for {uri} in their own file system"
        return Check(name, "warn", text, "put the data into the bucket, or mount it in every step")
    return limited(name, lambda: _local_source(uri), "change the permissions, or data.source")


def _local_source(uri: str) -> Check:
    path, name = Path(uri).expanduser().absolute(), "data source"
    if not path.exists():
        return Check(name, "fail", f"there is no {path}", "set data.source to an existing path")
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    unreadable = [file.name for file in files if not os.access(file, os.R_OK)]
    if unreadable or not files:
        text = f"cannot read {', '.join(unreadable)}" if files else f"{path} is an empty folder"
        return Check(name, "fail", text, "change the permissions, or data.source")
    return Check(name, "ok", f"{path}: {_size(files)}")


def _remote_source(uri: str) -> Check:
    parent, last = split_uri(uri)
    store = GcsStore(parent)
    names = store.list(last)
    if not names:
        return Check("data source", "fail", f"there is nothing at {uri}", "correct data.source")
    store.first_byte(names[0])
    return Check("data source", "ok", f"{uri}: {len(names)} objects, the first can be read")


def _size(files: list[Path]) -> str:
    total = sum(file.stat().st_size for file in files)
    return f"{len(files)} files, {total / 1e6:.1f} MB"
