"""The steps of the pipeline, each one call: read inputs by URI, work, write outputs, or reuse them."""
