"""The columns that a plugin adds to every flow."""


class Json(str):
    """A type of outputs: text that is one JSON value."""


class Output:
    """One column.

    The name matches `[a-z][a-z0-9_]{0,31}`. The type is one of bool, int, float, str, bytes, list[int],
    list[float], list[str] and Json; another type raises a TypeError. The description is one sentence for
    people, with the unit of the value.
    """

    TYPES = ("bool", "int", "float", "str", "bytes", "list[int]", "list[float]", "list[str]", "Json")

    def __init__(self, name, type, description):
        self.name = name
        self.type = type if "[" in str(type) else type.__name__
        self.type = str(self.type)
        self.description = description
        if self.type not in self.TYPES:
            types = ", ".join(self.TYPES)
            raise TypeError(f"output `{name}` must have one of the types {types}, not {self.type}")
