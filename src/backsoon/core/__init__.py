"""The pure core: what is true and who gets through.

Nothing in here imports Django, reads a clock, a file or a socket. Every function receives what it
needs and answers with plain frozen values; the shells around it do the looking-up.
"""
