"""Looks into clips, which are bytes of strangers, in a process of its own with limits of memory and time."""
