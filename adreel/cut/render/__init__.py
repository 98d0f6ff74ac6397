"""Rendering of a cut, in a process of its own: segments, captions, sound, assembly, checks."""

from adreel.cut.render.process import describe, inspect, measure, render

__all__ = ["describe", "inspect", "measure", "render"]
