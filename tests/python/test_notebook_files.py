"""The notebooks of docs/notebooks as they are committed. `make notebooks` executes them."""

import json
import re

import pytest
from conftest import ROOT

FOLDER = ROOT / "docs/notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# The longest line that the rendered page shows without a scroll bar.
MAX_LINE = 100


def cells_of(path):
    return json.loads(path.read_text())["cells"]


def test_the_index_names_all_notebooks():
    index = (FOLDER / "README.md").read_text()
    assert len(NOTEBOOKS) >= 4
    for path in NOTEBOOKS:
        assert f"]({path.name})" in index
        assert f"](../pictures/{path.stem}.png)" in index


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_no_outputs(path):
    notebook = json.loads(path.read_text())
    assert notebook["metadata"] == METADATA
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    for cell in notebook["cells"]:
        assert set(cell["metadata"]) <= {"tags"}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert path.read_text() == json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_lines_of_code_are_short(path):
    for cell in cells_of(path):
        if cell["cell_type"] == "code":
            assert all(len(line.rstrip("\n")) <= MAX_LINE for line in cell["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_one_cell_has_the_picture(path):
    assert [cell["metadata"].get("tags") for cell in cells_of(path)].count(["picture"]) == 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_lead_to_files(path):
    texts = ["".join(cell["source"]) for cell in cells_of(path) if cell["cell_type"] == "markdown"]
    links = re.findall(r"\]\((?!https?:)([^)#]+)", "\n".join(texts))
    assert links
    for link in links:
        assert (FOLDER / link).exists(), link
