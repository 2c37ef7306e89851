"""Kubeflow components: one module a step, each a thin skin over one call of the library."""
