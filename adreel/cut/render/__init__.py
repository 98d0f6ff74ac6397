"""Rendering of a cut, in a process of its own: segments, captions, sound, assembly, checks."""

from adreel.cut.render.process import inspect, render

__all__ = ["inspect", "render"]
