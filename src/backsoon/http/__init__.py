"""The shell around requests: from Django's objects to facts, and from decisions to answers.

Nothing in here writes to the database.
"""
