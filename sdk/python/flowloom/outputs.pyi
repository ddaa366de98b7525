"""The columns that a plugin adds to every flow."""

class Json(str):
    """A type of outputs: text that is one JSON value."""

class Output:
    name: str
    type: str
    description: str
    def __init__(self, name: str, type: object, description: str) -> None: ...
