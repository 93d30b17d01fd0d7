"""The version that this stand-in claims to be; tests change it."""

__version__ = "0.33.0"
