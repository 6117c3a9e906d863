"""A migration that no test database has."""
