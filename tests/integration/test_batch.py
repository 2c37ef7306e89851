"""`aegan encode`, `score`, `reconstruct`: killed at any time, and as a stranger meets them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from aegan_pipelines.cli import main
from click.testing import CliRunner

import aegan
from aegan.batch.parts import RECORD
from aegan.data.schema import SCHEMA_VERSION
from tests.make_version import VERSIONS

AEGAN = str(Path(sys.executable).with_name("aegan"))
MODEL = f"{VERSIONS}/{SCHEMA_VERSION}/models/tiny@champion"
ROWS, SHARD_ROWS = 30_000, 100
KILLS = 3


def images(rows: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 17, (rows, 8, 8)).astype(np.uint8)


def test_killed_at_any_time_it_never_leaves_half_a_part_and_goes_on(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", images(ROWS))
    output = tmp_path / "codes"
    command = [AEGAN, "encode", MODEL, str(tmp_path / "x.npy"), "-o", str(output)]
    command += ["--shard-rows", str(SHARD_ROWS)]
    moments, done = random.Random(1), 0
    for _ in range(KILLS):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            while len(list(output.glob("part-*"))) <= done + 1:
                assert process.poll() is None
                time.sleep(0.005)
            time.sleep(moments.uniform(0, 0.2))
            process.kill()
        parts = sorted(output.glob("part-*"))
        assert all(pa.parquet.read_metadata(part).num_rows == SHARD_ROWS for part in parts)
        assert len(parts) > done
        done = len(parts)
        record = json.loads((output / RECORD).read_bytes())
        assert not record["finished"]
        # The one that was finished at the moment itself may not be noted yet.
        assert done - 1 <= len(record["parts"]) <= done
    finished = CliRunner().invoke(main, command[1:])
    assert finished.exit_code == 0, finished.stderr
    assert "rows were done earlier; goes on from there" in finished.stderr
    assert f"codes of {ROWS:,} rows are in {output}" in finished.stderr
    table = pa.parquet.read_table(output)
    found = np.stack([table.column(f"code_{i}").to_numpy() for i in range(4)], axis=1)
    np.testing.assert_allclose(found, aegan.load(MODEL).encode(images(ROWS)), atol=1e-5)
    again = CliRunner().invoke(main, command[1:])
    assert "was finished earlier" in again.stderr


def test_a_log_gets_plain_lines_with_rate_and_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEGAN_PROGRESS_SECONDS", "0")
    np.save(tmp_path / "x.npy", images(300))
    command = ["score", MODEL, str(tmp_path / "x.npy"), "-o", str(tmp_path / "o.npz")]
    done = CliRunner().invoke(main, [*command, "--shard-rows", "100"])
    assert done.exit_code == 0, done.output
    lines = done.stderr.splitlines()
    assert lines[0].split(maxsplit=1)[1].startswith("300 rows in")
    assert "row 100/300 (33%)" in lines[1]
    assert "samples/s" in lines[1]
    assert "left" in lines[1]
    assert lines[-1].startswith(f"scores of 300 rows are in {tmp_path}/o.npz")
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.npy", "-o", "o.npz"], "no file or folder at nothing.npy"),
        (["x.npy", "-o", "o.npz", "--columns", "a"], "has no columns to choose from"),
        (["x.csv", "-o", "o.npz", "--columns", "a,b"], "2 numbers in a row (a, b), this model"),
    ],
)
def test_mistakes_get_one_message_and_exit_1(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", images(5))
    Path("x.csv").write_text("a,b\n1,2\n")
    done = CliRunner().invoke(main, ["score", MODEL, *arguments])
    assert done.exit_code == 1
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.csv", "x.npy"]


def test_being_interrupted_is_said_and_exits_with_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "x.npy", images(300))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("aegan.batch.parts.Parts.add", interrupted)
    command = ["score", MODEL, str(tmp_path / "x.npy"), "-o", str(tmp_path / "o")]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 130
    assert "interrupted; the same command continues from here" in done.stderr


def test_a_place_that_cannot_be_written_is_refused_before_a_model_is_fetched() -> None:
    done = CliRunner().invoke(main, ["score", "gs://none/models/m", "x.npy", "-o", "o.json"])
    assert done.exit_code == 2
    assert "Error: o.json: expected a name ending in .parquet or .npz" in done.stderr
