"""Rendering of a cut, in a process of its own: segments, captions, sound, assembly, checks."""

from adreel.cut.render.process import inspect, measure, render

__all__ = ["inspect", "measure", "render"]
