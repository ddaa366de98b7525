"""Correct implementations of NFStream's plugins, which give the expected values for Flowloom's plugins.

Each one records which of the `REASONS` explain values that differ from those of NFStream's own plugin.
"""
