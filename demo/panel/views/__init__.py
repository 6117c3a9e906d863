"""Pages and API of the client area."""
