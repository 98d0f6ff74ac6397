"""Rendering of a cut, in a process of its own: segments, captions, sound, assembly, checks."""

from adreel.cut.render.process import describe, find_speech, inspect, measure, render

__all__ = ["describe", "find_speech", "inspect", "measure", "render"]
