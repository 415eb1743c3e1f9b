"""The pictures of a board."""
