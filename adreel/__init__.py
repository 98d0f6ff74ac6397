"""adreel buys the four clips of a video ad, each at most once, and brings them home."""

__version__ = "0.1.0"
