"""Probe of clips, which are untrusted bytes, in a child process with limits of memory and time."""
