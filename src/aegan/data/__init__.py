"""From raw files to a normalised dataset on disk."""
