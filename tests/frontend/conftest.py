from fakes.fixtures import pack

__all__ = ["pack"]
