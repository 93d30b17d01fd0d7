"""The version, importable without loading anything."""

VERSION = "0.1.0"
