"""adreel buys the four clips of a video ad, each at most once, and stores them."""

__version__ = "0.1.0"
