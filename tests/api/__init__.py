"""The HTTP face over a cluster of one in memory."""
