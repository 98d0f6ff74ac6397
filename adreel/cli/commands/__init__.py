"""Commands with their arguments and options. They import what they need when they run: the help appears at once."""
