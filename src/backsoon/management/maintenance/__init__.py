"""The sub-commands of ``manage.py maintenance``, one module each.

A sub-command is a module with ``HELP``, ``FAILURE`` (how a sentence about its failing begins),
``add_arguments`` and ``run``; it gets its place in the table of ``commands/maintenance.py``.
"""
