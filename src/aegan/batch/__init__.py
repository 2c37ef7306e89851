"""What a model says of files that are larger than memory: read in blocks, written in parts."""
