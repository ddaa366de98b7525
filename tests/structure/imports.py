#!/usr/bin/env python3
"""Checks that imports inside each crate of the host run one way.

    tests/structure/imports.py [--show]

A crate is a graph: its files are the nodes, and a file that uses a name of another file has an edge to
it. Names are followed through re-exports (`pub use`) to the file that defines them; a re-export itself is
no edge. Tests may import whatever they need. A file `a.rs` and the files in the folder `a/` beside it are
one node, unless `a.rs` only declares and re-exports modules.

The check fails if there is a cycle among files, or among the folders at the top of a crate. `--show`
prints the top folders in an order in which every import runs downwards.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

HOST = Path(__file__).resolve().parents[2] / "host"
CRATES = ["core", "expr", "plugin", "flowloom", "cli"]
USE = re.compile(r"^[ \t]*(pub(?:\([^)]*\))?[ \t]+)?use\s+([^;]+);", re.MULTILINE)
PATH = re.compile(r"\b(?:crate|super)(?:::\w+)+")
DEFINITION = re.compile(r"^(?:pub(?:\([^)]*\))? )?(?:const |unsafe |extern )*(?:fn|struct|enum|trait|type|impl|static|const|macro_rules!)\b", re.MULTILINE)


def without_tests(text):
    """The text up to its inline test module, without comments and strings."""
    text = re.split(r"^#\[cfg\(test\)\]\n(?:pub(?:\([^)]*\))? )?mod \w+ \{", text, maxsplit=1, flags=re.MULTILINE)[0]
    text = re.sub(r"#\[cfg\((?:any\()?test\b[^\n]*\]\n[^\n]*\n", "", text)
    text = re.sub(r"//[^\n]*", "", text)
    return re.sub(r'"(?:[^"\\]|\\.)*"', '""', text, flags=re.DOTALL)


def leaves(tree):
    """The paths of a use tree, as lists of segments; names given with `as` are left out."""
    tree = tree.strip()
    if "{" not in tree:
        path = tree.split(" as ")[0]
        return [[part.strip() for part in path.split("::") if part.strip()]]
    head, body = tree.split("{", 1)
    body = body[: body.rindex("}")]
    prefix = [part.strip() for part in head.split("::") if part.strip()]
    parts, depth, start = [], 0, 0
    for at, char in enumerate(body):
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            parts.append(body[start:at])
            start = at + 1
    parts.append(body[start:])
    return [prefix + leaf for part in parts if part.strip() for leaf in leaves(part)]


class Crate:
    def __init__(self, folder):
        self.root = folder / "src"
        self.files = {}
        for path in sorted(self.root.rglob("*.rs")):
            module = path.relative_to(self.root).with_suffix("").parts
            if module[-1] in ("mod", "lib", "main"):
                module = module[:-1]
            if "tests" not in module and "testing" not in module:
                self.files[module] = without_tests(path.read_text())
        self.exports = {module: self.exported(module) for module in self.files}

    def absolute(self, module, path):
        """A path as seen in a module, from the root of the crate; None if it leads elsewhere."""
        path = list(path)
        if path[0] == "crate":
            return tuple(path[1:])
        if path[0] in ("self", "super"):
            base = list(module)
            while path and path[0] in ("self", "super"):
                base = base[:-1] if path[0] == "super" else base
                path = path[1:]
            return tuple(base + path)
        if (*module, path[0]) in self.files:
            return (*module, *path)
        return None

    def exported(self, module):
        found = {}
        for visibility, tree in USE.findall(self.files[module]):
            for leaf in leaves(tree) if visibility else []:
                target = self.absolute(module, leaf)
                if target:
                    found[leaf[-1]] = target
        return found

    def defining(self, path, depth=0):
        """The module that defines what this path names."""
        for end in range(len(path), -1, -1):
            module = path[:end]
            if module in self.files:
                rest = path[end:]
                target = self.exports[module].get(rest[0]) if rest else None
                if target and depth < 8:
                    return self.defining(target + rest[1:], depth + 1)
                return module
        return ()

    def node(self, module):
        """The node of a module: a file with the files in the folder of its name."""
        for end in range(1, len(module)):
            parent = module[:end]
            if parent in self.files and DEFINITION.search(self.files[parent]):
                if (self.root / Path(*parent)).with_suffix(".rs").exists():
                    return parent
        return module

    def edges(self):
        graph = defaultdict(set)
        for module, text in self.files.items():
            paths = [leaf for visibility, tree in USE.findall(text) if not visibility for leaf in leaves(tree)]
            body = USE.sub("", text)
            # `use a::b;` and then `b::c()` names what is in `b`.
            for leaf in list(paths):
                leaf = leaf[:-1] if leaf[-1] == "self" else leaf
                target = self.absolute(module, leaf)
                if target and self.defining(target) == target:
                    names = re.findall(rf"\b{leaf[-1]}((?:::\w+)+)", body)
                    paths += [leaf + name.split("::")[1:] for name in names]
            paths += [path.split("::") for path in PATH.findall(body)]
            for path in paths:
                target = self.absolute(module, path)
                if target is None:
                    continue
                ours, theirs = self.node(module), self.node(self.defining(target))
                if ours != theirs:
                    graph[ours].add(theirs)
        return graph


def components(graph):
    """Strongly connected components, in reverse topological order (Tarjan's algorithm)."""
    index, low, stack, on_stack, result = {}, {}, [], set(), []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        on_stack.add(node)
        for other in graph.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in on_stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = []
            while not component or component[-1] != node:
                component.append(stack.pop())
                on_stack.discard(component[-1])
            result.append(component)

    for node in sorted({*graph, *(other for others in graph.values() for other in others)}):
        if node not in index:
            visit(node)
    return result


def main():
    sys.setrecursionlimit(10_000)
    failed = False
    for name in CRATES:
        crate = Crate(HOST / name)
        graph = crate.edges()
        folders = defaultdict(set)
        for node, others in graph.items():
            folders[node[:1]] |= {other[:1] for other in others if other[:1] != node[:1]}
        for what, edges in [("files", graph), ("folders", folders)]:
            for component in components(edges):
                if len(component) > 1:
                    failed = True
                    names = ", ".join("::".join(node) or "(root)" for node in sorted(component))
                    print(f"flowloom {name}: these {what} import each other: {names}")
                    for node in sorted(component):
                        for other in sorted(edges[node] & set(component)):
                            print(f"    {'::'.join(node) or '(root)'} -> {'::'.join(other) or '(root)'}")
        if "--show" in sys.argv:
            order = [node for component in components(folders) for node in component]
            print(f"{name}: " + " > ".join("::".join(node) or "(root)" for node in reversed(order)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
