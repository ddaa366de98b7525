"""A gate that holds tasks in mid-run, so that a test can end their process."""

import time
import uuid
from pathlib import Path


class Gate:
    """Lets some tasks pass, and holds all others until it is open. It can be pickled.

    Each task writes a file into the gate's folder: its place, a random name, and whether it is held.
    """

    def __init__(self, folder, passing):
        self.folder = Path(folder)
        self.passing = passing

    def hold(self, place):
        """Pass through the gate, as a task at a place."""
        name = self.folder / f"{place}.{uuid.uuid4().hex}"
        if len(self.places("passed")) < self.passing:
            name.with_suffix(f"{name.suffix}.passed").touch()
            return
        name.with_suffix(f"{name.suffix}.held").touch()
        while not (self.folder / "open").exists():
            time.sleep(0.05)

    def places(self, kind="*"):
        """Return the places of all tasks that came to the gate, or of those that were held."""
        return [path.name.split(".")[0] for path in self.folder.glob(f"*.*.{kind}")]

    def await_held(self, place=None, is_over=lambda: False):
        """Wait until a task is held, at any place or at a given one, and return its place; None if the run is over."""
        while not is_over():
            for held in self.places("held"):
                if place in (None, held):
                    return held
            time.sleep(0.05)
        return None

    def open(self):
        """Let all tasks pass."""
        (self.folder / "open").touch()
