"""The client area: services, orders, profile."""
