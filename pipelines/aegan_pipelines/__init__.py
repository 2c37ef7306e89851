"""What people run: the pipeline, its compiler, the local runner and the command line."""
