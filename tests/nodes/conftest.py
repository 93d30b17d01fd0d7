from fakes.fixtures import pack, tiny

__all__ = ["pack", "tiny"]
