"""Every public name has documentation, from which `make python-docs` makes the reference."""

import ast
import importlib
import inspect
import json
import pkgutil
import subprocess
import textwrap
from pathlib import Path

import pytest

import flowloom

STUB = Path(flowloom.__file__).with_name("_flowloom.pyi")


def public_modules():
    """Return the package, and the packages in it with their public modules."""
    names = ["flowloom"]
    for module in pkgutil.iter_modules(flowloom.__path__, "flowloom."):
        if module.ispkg:
            names.append(module.name)
            exported = importlib.import_module(module.name).__all__
            values = [getattr(importlib.import_module(module.name), name) for name in exported]
            names += [value.__name__ for value in values if inspect.ismodule(value)]
    return [importlib.import_module(name) for name in names]


def undocumented(module):
    """Return the public names of a module without documentation: functions, classes, methods and properties."""
    missing = [] if module.__doc__ else [module.__name__]
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.ismodule(value) or isinstance(value, str):
            continue
        if not inspect.getdoc(value):
            missing.append(f"{module.__name__}.{name}")
        if inspect.isclass(value):
            for member, its_value in vars(value).items():
                is_documented_kind = inspect.isroutine(its_value) or isinstance(its_value, property)
                if not member.startswith("_") and is_documented_kind and not inspect.getdoc(getattr(value, member)):
                    missing.append(f"{module.__name__}.{name}.{member}")
    return missing


@pytest.mark.parametrize("module", public_modules(), ids=lambda module: module.__name__)
def test_public_names_have_documentation(module):
    assert undocumented(module) == []


def test_parameters_of_meter_have_documentation():
    lines = inspect.getdoc(flowloom.meter).splitlines()
    documented = [name for line in lines if not line.startswith(" ") for name in line.split(", ")]
    assert set(inspect.signature(flowloom.meter).parameters) <= set(documented)


def test_fields_of_packets_have_their_definitions(flowloom_command):
    """Editors and the reference show the texts of the stub."""
    listed = subprocess.run([flowloom_command, "fields", "--format", "json"], check=True, capture_output=True, text=True)
    expected = {}
    for field in json.loads(listed.stdout)["packet_fields"]:
        # Pseudonyms are for components only.
        if not field["name"].endswith("_pseudonym"):
            unit = f" In {field['unit']}." if field["unit"] else ""
            expected[field["name"]] = field["definition"] + unit
    packet = next(
        node for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ClassDef) and node.name == "Packet"
    )
    found = {}
    for field, text in zip(packet.body, packet.body[1:]):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            found[field.target.id] = " ".join(textwrap.dedent(text.value.value).split())
    assert {name: found.get(name) for name in expected} == expected
    assert set(found) - set(expected) == {"payload", "bytes"}
