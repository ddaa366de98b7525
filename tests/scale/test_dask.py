"""Dask: the recipe of docs/scale.md."""

import re
import textwrap

import flowloom
import pyarrow
import pytest
from conftest import ROOT, assert_same

pytestmark = pytest.mark.dask


def test_recipe_gives_the_flows_of_one_process(captures, parameters, expected, monkeypatch, tmp_path):
    page = (ROOT / "docs/scale.md").read_text()
    [recipe] = [code for code in re.findall(r"```python[^\n]*\n(.*?)```", page, re.DOTALL) if "import dask" in code]
    # Other processes import the function.
    (tmp_path / "recipe.py").write_text(recipe)
    monkeypatch.syspath_prepend(tmp_path)
    import recipe as module

    plan = flowloom.plan(captures, task_bytes=100_000, **parameters)
    assert len(plan.tasks) > 3
    frame = module.read(plan)
    assert frame.npartitions == len(plan.tasks)
    found = frame.compute(scheduler="processes", num_workers=2)
    table = pyarrow.Table.from_pandas(found, preserve_index=False)
    assert_same(table.cast(expected_schema(expected)), expected)


def expected_schema(expected):
    return pyarrow.schema(
        [
            pyarrow.field(field.name, field.type.value_type if pyarrow.types.is_dictionary(field.type) else field.type)
            for field in expected.schema
        ]
    )
