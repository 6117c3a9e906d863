"""A site that tells its customers, and the servers that it tells them by."""
