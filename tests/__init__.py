"""The package's tests. The demo's own tests live next to it, in demo/panel/tests."""
