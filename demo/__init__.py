"""A small hosting company's site, which uses Backsoon as any project would."""
