"""Mathematics that components of several kinds share."""
