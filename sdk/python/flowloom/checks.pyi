"""Checks of what the author of a plugin wrote."""

from .plugin import Plugin

class Mistake(TypeError):
    """An error of the plugin's author. Its text says what is wrong, and how to correct it."""

def check_plugin(plugin: Plugin | type[Plugin]) -> None: ...
