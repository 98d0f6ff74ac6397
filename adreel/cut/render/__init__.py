"""Rendering of a cut, in a process of its own: segments, captions, sound, assembly, checks."""
