"""The options of a plugin, which the operator sets."""


class OptionError(ValueError):
    """An error in the options, or in what is available. Flowloom shows its text to the operator."""


class Option:
    """The description of an option that a plugin accepts. `type` is bool, int, float or str."""

    __slots__ = ("accepts", "default", "description", "key", "required", "type")

    def __init__(self, key, type, accepts, default, required, description):
        if not isinstance(description, str) or not description.strip():
            raise TypeError(f"option `{key}` needs a description: one sentence for people")
        self.key = key
        self.type = type
        self.accepts = accepts
        self.default = default
        self.required = required
        self.description = description

    @property
    def default_text(self):
        """The default as an operator would write it: None if the option is required, empty if it has none."""
        if self.required:
            return None
        if self.default is None:
            return ""
        return str(self.default).lower() if self.type is bool else str(self.default)

    def __str__(self):
        default = self.default_text
        when = "required" if default is None else f"default {default}" if default else "optional"
        return f"`{self.key}` ({self.accepts}, {when}): {self.description.rstrip('.')}"


class Options:
    """The options that the operator gave.

    `open` reads them one by one, and describes each in one sentence, which Flowloom shows to the operator.
    Options that it does not read are errors; the error lists the options that it reads.

    Every method returns `default` if the operator did not give the option. It raises an OptionError if the
    value is invalid, and if the option is `required` and missing.
    """

    def __init__(self, given):
        self._given = {}
        self._read = {}
        for key, value in given:
            if key in self._given:
                raise OptionError(f"option `{key}` is given twice")
            self._given[key] = value

    def text(self, key, description, *, default=None, required=False):
        """Returns a text."""
        return self._take(Option(key, str, "a text", default, required, description), str)

    def integer(self, key, description, *, default=None, required=False, least=-(2**63), most=2**63 - 1):
        """Returns an integer from `least` to `most`."""

        def parse(text):
            value = int(text)
            if not least <= value <= most:
                raise ValueError
            return value

        accepts = f"an integer from {least} to {most}"
        return self._take(Option(key, int, accepts, default, required, description), parse)

    def number(self, key, description, *, default=None, required=False):
        """Returns a float."""
        return self._take(Option(key, float, "a number", default, required, description), float)

    def boolean(self, key, description, *, default=None, required=False):
        """Returns a boolean, given as `true` or `false`."""
        words = {"true": True, "false": False}
        option = Option(key, bool, "true or false", default, required, description)
        return self._take(option, words.__getitem__)

    def check(self):
        """Raises an OptionError if an option was not read. The SDK calls it after `open`."""
        for key in self._given:
            if key not in self._read:
                raise OptionError(f"unknown option `{key}`; {self._accepted()}")

    def read(self):
        """Returns the descriptions of the options that were read."""
        return list(self._read.values())

    def _take(self, option, parse):
        key = option.key
        self._read[key] = option
        if key not in self._given:
            if option.required:
                raise OptionError(f"option `{key}` is missing; {self._accepted()}")
            return option.default
        try:
            return parse(self._given[key])
        except (ValueError, KeyError):
            given = self._given[key]
            raise OptionError(f'option `{key}` must be {option.accepts}, not "{given}"') from None

    def _accepted(self):
        if not self._read:
            return "this plugin accepts no options"
        return "this plugin accepts " + "; ".join(map(str, self._read.values()))
