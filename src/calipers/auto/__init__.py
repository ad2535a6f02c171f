"""The method that chooses methods, and how it shares out the time."""

from calipers.auto.method import Auto

__all__ = ["Auto"]
