"""The columns that a plugin adds."""


class Json(str):
    """Text that is one JSON value: the type of an output."""


class Output:
    """A column: its name (`[a-z][a-z0-9_]{0,31}`), its type, and a sentence for people with its unit.

    The type is one of bool, int, float, str, bytes, list[int], list[float] and Json.
    """

    TYPES = ("bool", "int", "float", "str", "bytes", "list[int]", "list[float]", "Json")

    def __init__(self, name, type, description):
        self.name = name
        self.type = type if "[" in str(type) else type.__name__
        self.type = str(self.type)
        self.description = description
        if self.type not in self.TYPES:
            raise TypeError(f"output `{name}` is none of {', '.join(self.TYPES)}, but {self.type}")
