"""What Backsoon does for other packages. Nothing here is imported unless a project asks for it."""
