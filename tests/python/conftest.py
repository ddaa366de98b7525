"""What the tests of the Python package share."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CAPTURES = ROOT / "tests/captures"


@pytest.fixture
def flowloom_command():
    """Return the command, which the package must agree with."""
    return os.environ.get("FLOWLOOM", str(ROOT / "target/debug/flowloom"))


@pytest.fixture
def metered(flowloom_command):
    """Return a function that meters with the command, and returns the flows as dictionaries."""

    def run(capture, *options):
        command = [flowloom_command, "meter", str(capture), "--format", "jsonl", *options]
        run = subprocess.run(command, check=False, capture_output=True, text=True)
        # 3: the capture is damaged.
        assert run.returncode in (0, 3), run.stderr
        return [json.loads(line) for line in run.stdout.splitlines()]

    return run


@pytest.fixture
def plugin():
    """Return a function that returns the file of a plugin."""

    def file(name):
        path = ROOT / f"target/plugins/{name}.wasm"
        if not path.exists():
            pytest.skip(f"{path} is not built: make plugins")
        return path

    return file
