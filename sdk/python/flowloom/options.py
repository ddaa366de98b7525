"""What the operator may set."""


class OptionError(ValueError):
    """What is wrong with the options, for the operator."""


class Options:
    """The options of a run, read one by one in `open`. Those that are never read are errors, which
    list what was."""

    def __init__(self, given):
        self._given = {}
        self._read = {}
        for key, value in given:
            if key in self._given:
                raise OptionError(f"option `{key}` is given twice")
            self._given[key] = value

    def text(self, key, default=None):
        """A text."""
        return self._take(key, str, "a text", default)

    def integer(self, key, default=None, least=-(2**63), most=2**63 - 1):
        """An integer within bounds."""

        def parse(text):
            value = int(text)
            if not least <= value <= most:
                raise ValueError
            return value

        return self._take(key, parse, f"an integer from {least} to {most}", default)

    def number(self, key, default=None):
        """A float."""
        return self._take(key, float, "a number", default)

    def boolean(self, key, default=None):
        """`true` or `false`."""
        words = {"true": True, "false": False}
        return self._take(key, words.__getitem__, "true or false", default)

    def check(self):
        """Called after `open`."""
        for key in self._given:
            if key not in self._read:
                raise OptionError(f"there is no option `{key}`; {self._accepted()}")

    def _take(self, key, parse, accepts, default):
        self._read[key] = accepts if default is None else f"{accepts}, default {default}"
        if key not in self._given:
            return default
        try:
            return parse(self._given[key])
        except (ValueError, KeyError):
            given = self._given[key]
            raise OptionError(f'option `{key}` must be {accepts}, not "{given}"') from None

    def _accepted(self):
        if not self._read:
            return "this plugin takes none"
        return "this plugin takes " + "; ".join(f"`{key}` ({what})" for key, what in self._read.items())
