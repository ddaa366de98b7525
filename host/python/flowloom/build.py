"""Build a component from a plugin that is a Python class."""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path as _Path
from typing import Any

from .command import command
from .errors import PluginError
from .plugin import Plugin
from .sources import Path

__all__ = ["build_plugin"]

# Constants of these types can be written into a module, if they contain nothing else.
_LITERALS = (bool, int, float, complex, str, bytes, type(None))

# What the package `flowloom` has in a component.
_IN_COMPONENTS = {"Available", "Flow", "Json", "OptionError", "Options", "Output", "Packet", "Plugin"}

# The parameters of methods after `self`, and the attributes that declare their fields.
_DECLARED = {
    "init": {0: ("packet",), 1: ("at_init",)},
    "update": {1: ("packet",), 2: ("at_update",)},
    "expire": {1: ("at_expire",)},
}
# Attributes of packets that have a length instead of a name in `packet`.
_LENGTHS = {"payload": "payload_bytes", "bytes": "packet_bytes"}


def build_plugin(plugin: type[Plugin], path: Path, *, name: str | None = None) -> _Path:
    """Build a component from a class, and return its path.

    The component is a plugin for every Flowloom, in a sandbox, and gives the same values as the class in this process.
    The class may come from a module or from the cell of a notebook. What its methods use is carried along: imported
    modules of Python, constants, and functions and classes of the same module. A component has no files, no network and
    no clock. A function of Python that imports a module when it is called ends the component with a trap.

    Parameters
    ----------
    plugin
        The class. It must declare the fields that it reads: ``packet``, ``at_init``, ``at_update`` and ``at_expire``.
    path
        The component that is written, for example ``largest.wasm``.
    name
        The name in messages of the build. By default, it is that of the file up to its first dot.

    Raises
    ------
    PluginError
        The class uses something that cannot be carried along, reads a field that it does not declare, or cannot be
        compiled. The text names it.
    """
    if not (isinstance(plugin, type) and issubclass(plugin, Plugin)):
        raise PluginError(f"{plugin!r} is not a class that inherits from flowloom.Plugin")
    target = _Path(os.fspath(path)).absolute()
    name = name or target.name.split(".")[0]
    source = module_of(plugin)
    _check_fields(plugin)
    with tempfile.TemporaryDirectory(prefix="flowloom-") as folder:
        project = _Path(folder)
        (project / "plugin.py").write_text(source)
        (project / "flowloom-plugin.toml").write_text(
            f'[plugin]\nname = "{_project_name(name)}"\nlanguage = "python"\nsource = "plugin.py"\nsdk = "flowloom-sdk"\n'
        )
        _run(project)
        built = project / f"{_project_name(name)}.wasm"
        try:
            shutil.move(built, target)
        except OSError as error:
            raise PluginError(f"cannot write {target}: {error}") from error
    return target


def module_of(plugin: type[Plugin]) -> str:
    """Return a module with a class and everything that it uses."""
    parts = _Parts()
    parts.add_class(plugin)
    return parts.text(plugin)


class _Parts:
    """The parts of a module: imports, constants, and definitions."""

    def __init__(self) -> None:
        self.imports: list[str] = []
        self.constants: list[str] = []
        self.definitions: list[str] = []
        self._known: dict[str, object] = {}

    def text(self, plugin: type[Plugin]) -> str:
        head = ["import flowloom", *self.imports, "", *self.constants, ""]
        last = f"Feature, BatchFeature = flowloom.export({plugin.__name__})"
        return "\n".join([*head, *("\n" + part for part in self.definitions), "\n" + last, ""])

    def add_class(self, kind: type) -> None:
        for base in reversed(kind.__mro__[1:]):
            if base in (object, Plugin):
                continue
            self._add(base.__name__, base, kind.__name__)
        self._define(kind)

    def _define(self, thing: Any) -> None:
        """Add a class or function, after what it uses."""
        source = _source_of(thing)
        tree = ast.parse(source)
        for used in _free_names(tree):
            if used == thing.__name__:
                continue
            found, value = _look_up(thing, used)
            if found:
                self._add(used, value, thing.__name__)
            elif not hasattr(builtins, used):
                raise PluginError(f"{thing.__name__} uses '{used}', which is not defined")
        self.definitions.append(source.rstrip() + "\n")

    def _add(self, name: str, value: Any, user: str) -> None:
        """Add what a name stands for."""
        if name in self._known:
            if self._known[name] is not value:
                raise PluginError(f"{user} uses '{name}' for two different things")
            return
        self._known[name] = value
        package = getattr(value, "__module__", None) or ""
        if isinstance(value, types.ModuleType):
            module = value.__name__
            if module != "flowloom":
                self._check_package(module, name, user)
            # The module `flowloom` of a component is that of the SDK.
            if (module, name) != ("flowloom", "flowloom"):
                self.imports.append(f"import {module}" if module == name else f"import {module} as {name}")
        elif package.split(".")[0] == "flowloom":
            if value.__name__ not in _IN_COMPONENTS:
                raise PluginError(f"{user} uses flowloom.{value.__name__}, which components do not have")
            self.imports.append(f"from flowloom import {value.__name__} as {name}")
        elif _is_constant(value):
            self.constants.append(f"{name} = {value!r}")
        elif isinstance(value, type) and _is_local(value):
            if value.__name__ != name:
                raise PluginError(f"{user} uses {value.__name__} by the other name '{name}'")
            self.add_class(value)
        elif isinstance(value, types.FunctionType) and _is_local(value):
            if value.__name__ != name or value.__closure__:
                raise PluginError(f"{user} uses the function '{name}', which refers to variables of another function")
            self._define(value)
        elif hasattr(value, "__name__") and package and hasattr(sys.modules.get(package), value.__name__):
            self._check_package(package, name, user)
            self.imports.append(f"from {package} import {value.__name__} as {name}")
        else:
            kind = type(value).__name__
            raise PluginError(
                f"{user} uses '{name}', which a component cannot carry ({kind}); make it a constant of numbers and texts, "
                "or an attribute that `open` sets"
            )

    def _check_package(self, package: str, name: str, user: str) -> None:
        root = package.split(".")[0]
        if root not in sys.stdlib_module_names:
            raise PluginError(
                f"{user} uses '{name}' of the package '{root}', which is not part of Python; a component can only carry "
                "Python's own modules"
            )


def _source_of(thing: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(thing))
    except (OSError, TypeError) as error:
        source = _source_in_cell(thing) if isinstance(thing, type) else None
        if source is not None:
            return source
        raise PluginError(f"cannot find the source of {thing.__name__}: {error}; define it in a file or in a cell") from None


def _source_in_cell(kind: type) -> str | None:
    """Return the source of a class from the cell of a notebook, or None.

    `inspect` looks for a class in the file of its module, which a notebook does not have. The code of a method names its
    cell and line. A class without methods is that of the newest cell that defines this name.
    """
    codes = [function.__code__ for function in _functions(kind) if function.__qualname__.startswith(f"{kind.__qualname__}.")]
    places: list[tuple[str, int | None]]
    if codes:
        places = [(codes[0].co_filename, codes[0].co_firstlineno)]
    else:
        places = [(file, None) for file in reversed(linecache.cache) if not os.path.exists(file)]
    for file, line in places:
        text = "".join(linecache.getlines(file))
        try:
            tree = ast.parse(text)
        except SyntaxError:
            # A cell with magic commands, or a file that is no Python.
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef) or node.name != kind.__name__:
                continue
            if line is None or node.lineno <= line <= (node.end_lineno or line):
                first = min(decorator.lineno for decorator in node.decorator_list) if node.decorator_list else node.lineno
                return textwrap.dedent("".join(text.splitlines(True)[first - 1 : node.end_lineno]))
    return None


def _is_local(thing: Any) -> bool:
    """Return whether a class or function is the user's: neither Python's nor that of an installed package."""
    module = sys.modules.get(thing.__module__)
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return True
    root = thing.__module__.split(".")[0]
    return root not in sys.stdlib_module_names and "site-packages" not in file and "dist-packages" not in file


def _is_constant(value: Any) -> bool:
    if isinstance(value, _LITERALS):
        return type(value) in _LITERALS
    if type(value) in (tuple, list, set, frozenset):
        return all(map(_is_constant, value))
    if type(value) is dict:
        return all(_is_constant(key) and _is_constant(item) for key, item in value.items())
    return False


def _free_names(tree: ast.Module) -> list[str]:
    """Return the names that a definition reads, but does not define itself, in the order of their first use."""
    import symtable

    names: dict[str, None] = {}

    def visit(table: symtable.SymbolTable) -> None:
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module"):
                names.setdefault(symbol.get_name())
        for child in table.get_children():
            visit(child)

    table = symtable.symtable(ast.unparse(tree), "<plugin>", "exec")
    for child in table.get_children():
        visit(child)
    # Names in the heads of definitions: bases, decorators and defaults.
    for node in ast.walk(tree):
        heads: list[ast.expr] = []
        if isinstance(node, ast.ClassDef):
            heads = [*node.bases, *node.decorator_list]
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            defaults = [default for default in node.args.kw_defaults if default is not None]
            heads = [*node.decorator_list, *node.args.defaults, *defaults]
        for head in heads:
            for part in ast.walk(head):
                if isinstance(part, ast.Name):
                    names.setdefault(part.id)
    defined = {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    return [name for name in names if name not in defined and not (name.startswith("__") and name.endswith("__"))]


def _look_up(thing: Any, name: str) -> tuple[bool, Any]:
    """Return whether a name is known where a class or function was defined, and its value."""
    functions = [thing] if isinstance(thing, types.FunctionType) else list(_functions(thing))
    for function in functions:
        closure = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))
        if name in closure:
            return True, closure[name].cell_contents
        if name in function.__globals__:
            return True, function.__globals__[name]
    module = sys.modules.get(thing.__module__)
    if module is not None and hasattr(module, name):
        return True, getattr(module, name)
    return False, None


def _functions(kind: type) -> Iterator[types.FunctionType]:
    for value in vars(kind).values():
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        if isinstance(value, types.FunctionType):
            yield value


def _check_fields(plugin: type[Plugin]) -> None:
    """Check that methods read only fields that the class declares. In this process, they may read all.

    Declarations that a method sets, for example `open` or `adapt`, are not known here.
    """
    assigned = _assigned(plugin)
    for method, parameters in _DECLARED.items():
        function = inspect.getattr_static(plugin, method)
        if function is inspect.getattr_static(Plugin, method) or not isinstance(function, types.FunctionType):
            continue
        tree = ast.parse(_source_of(function))
        definition = tree.body[0]
        if not isinstance(definition, ast.FunctionDef):
            continue
        arguments = [argument.arg for argument in definition.args.args][1:]
        for position, (declaration,) in parameters.items():
            if position >= len(arguments) or declaration in assigned:
                continue
            declared = set(getattr(plugin, declaration))
            for field in _attributes(definition, arguments[position]):
                length = _LENGTHS.get(field) if declaration == "packet" else None
                if length is not None:
                    if not getattr(plugin, length) and length not in assigned:
                        raise PluginError(f"{method} reads packet.{field}; set {length} in {plugin.__name__}")
                elif field not in declared:
                    raise PluginError(
                        f"{method} reads the field '{field}'; add it to `{declaration}` in {plugin.__name__}"
                    )


def _assigned(plugin: type[Plugin]) -> set[str]:
    """Return the attributes that methods set."""
    bases = [base for base in plugin.__mro__ if base not in (object, Plugin)]
    trees = [ast.parse(_source_of(function)) for base in bases for function in _functions(base)]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}


def _attributes(definition: ast.FunctionDef, name: str) -> list[str]:
    """Return the attributes of a variable that a function reads."""
    return [
        node.attr
        for node in ast.walk(definition)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    ]


def _project_name(name: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", name.lower()) or "plugin"


def _run(project: _Path) -> None:
    """Build a project with the command."""
    program = command()
    if program is None:
        raise PluginError("cannot find the command flowloom, which builds components; install the package with pip")
    # componentize-py may be installed beside this Python.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    run = subprocess.run(
        [program, "plugin", "build", str(project)],
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        message = run.stderr.strip().removeprefix("flowloom: ")
        if "componentize-py" in message:
            message += "\ninstall it in this environment: pip install componentize-py==0.25.1"
        raise PluginError(message)
