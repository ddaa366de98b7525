"""The options of a plugin, which the operator sets."""


class OptionError(ValueError):
    """An error in the options. Flowloom shows its text to the operator."""


class Options:
    """The options that the operator gave.

    `open` reads them one by one. Options that it does not read are errors; the error lists the options that
    it reads. Every method returns `default` if the operator did not give the option, and raises an
    OptionError if the value is invalid.
    """

    def __init__(self, given):
        self._given = {}
        self._read = {}
        for key, value in given:
            if key in self._given:
                raise OptionError(f"option `{key}` is given twice")
            self._given[key] = value

    def text(self, key, default=None):
        """Returns a text."""
        return self._take(key, str, "a text", default)

    def integer(self, key, default=None, least=-(2**63), most=2**63 - 1):
        """Returns an integer from `least` to `most`."""

        def parse(text):
            value = int(text)
            if not least <= value <= most:
                raise ValueError
            return value

        return self._take(key, parse, f"an integer from {least} to {most}", default)

    def number(self, key, default=None):
        """Returns a float."""
        return self._take(key, float, "a number", default)

    def boolean(self, key, default=None):
        """Returns a boolean, given as `true` or `false`."""
        words = {"true": True, "false": False}
        return self._take(key, words.__getitem__, "true or false", default)

    def check(self):
        """Raises an OptionError if an option was not read. The SDK calls it after `open`."""
        for key in self._given:
            if key not in self._read:
                raise OptionError(f"unknown option `{key}`; {self._accepted()}")

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
            return "this plugin accepts no options"
        return "this plugin accepts " + "; ".join(f"`{key}` ({what})" for key, what in self._read.items())
