"""The demo project: settings, routes and server entry points."""
