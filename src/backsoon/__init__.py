"""Backsoon: maintenance mode for Django sites that must be able to rely on being closed.

This module imports nothing, so that ``import backsoon`` is free and never touches Django.
"""

__version__ = "0.1.0"
