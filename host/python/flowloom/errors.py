"""Exceptions and warnings."""

from __future__ import annotations

__all__ = ["CaptureError", "CaptureWarning", "FlowloomError", "ParameterError", "PluginError"]


class FlowloomError(Exception):
    """The base class of all exceptions of this package."""


class ParameterError(FlowloomError, ValueError):
    """A parameter, a filter, a condition or a column name is not valid."""


class CaptureError(FlowloomError, OSError):
    """A source cannot be opened: it does not exist, is no capture, or you have no permission to capture."""


class PluginError(FlowloomError):
    """A plugin cannot be loaded, or the policy does not allow it."""


class CaptureWarning(UserWarning):
    """A capture is damaged or was skipped. The flows up to the damage were returned."""
