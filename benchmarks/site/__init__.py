"""The small Django site that is measured, once for each alternative."""
