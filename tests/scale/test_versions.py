"""Modules for engines are imported on demand, and say which version they need."""

import importlib
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("package", "old", "least"),
    [
        pytest.param("ray", "2.48.0", "2.60", marks=pytest.mark.ray),
        pytest.param("pyspark", "3.5.8", "4.0", marks=pytest.mark.spark),
    ],
)
def test_old_engine_is_an_error(package, old, least, monkeypatch):
    module = "flowloom.ray" if package == "ray" else "flowloom.spark"
    monkeypatch.setattr(importlib.import_module(package), "__version__", old)
    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(ImportError, match=f"{module} needs {package} {least} or later, and {package} {old} is installed"):
        importlib.import_module(module)


def test_flowloom_imports_no_engine():
    code = "import sys, flowloom; print([name for name in sys.modules if name in ('ray', 'pyspark', 'dask', 'pyarrow')])"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"
