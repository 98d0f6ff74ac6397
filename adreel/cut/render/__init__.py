"""Rendering of a cut, in a process of its own: segments, captions, sound, assembly, checks.

`process` is what the parent calls. This module imports nothing, because the child would import it as well.
"""
