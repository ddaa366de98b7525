"""Dask: the recipe of docs/scale.md."""

import re
import sys

import flowloom
import pyarrow
import pytest
from conftest import ROOT, assert_same

pytestmark = pytest.mark.dask


@pytest.fixture
def recipe(monkeypatch, tmp_path):
    """Return the module of the recipe."""
    page = (ROOT / "docs/scale.md").read_text()
    [code] = [code for code in re.findall(r"```python[^\n]*\n(.*?)```", page, re.DOTALL) if "import dask" in code]
    # Other processes import the function.
    (tmp_path / "recipe.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    import recipe

    yield recipe
    # Another test has another folder.
    del sys.modules["recipe"]


def compute(frame, schema):
    """Return the flows of a DataFrame, computed by two processes."""
    found = frame.compute(scheduler="processes", num_workers=2)
    return pyarrow.Table.from_pandas(found, preserve_index=False).cast(plain(schema))


def test_recipe_gives_the_flows_of_one_process(recipe, captures, parameters, expected):
    plan = flowloom.plan(captures, task_bytes=100_000, **parameters)
    assert len(plan.tasks) > 3
    frame = recipe.read(plan)
    assert frame.npartitions == len(plan.tasks)
    assert_same(compute(frame, expected.schema), expected)


@pytest.mark.s3
def test_objects_have_the_flows_of_files(recipe, day, parameters, expected):
    plan = flowloom.plan(day, task_bytes=100_000, **parameters)
    assert len(plan.tasks) > 3
    assert_same(compute(recipe.read(plan), expected.schema), expected)


@pytest.mark.s3
def test_driver_names_the_object(recipe, day, trouble):
    # The recipe does the first task itself. The second one fails in a worker.
    plan = flowloom.plan([f"{day}dns.pcap", *(f"{trouble.folder}{n}.pcap" for n in (1, 2, 3))], task_bytes=1)
    frame = recipe.read(plan)
    with trouble.begin(), pytest.raises((flowloom.CaptureError, flowloom.CaptureWarning)) as error:
        frame.compute(scheduler="processes", num_workers=2)
    assert f"'{trouble.folder}" in str(error.value)
    assert trouble.message in str(error.value)


def plain(schema):
    """Return a schema without dictionaries."""
    return pyarrow.schema(
        [
            pyarrow.field(field.name, field.type.value_type if pyarrow.types.is_dictionary(field.type) else field.type)
            for field in schema
        ]
    )
