"""The image that every step runs in.

Kubeflow bakes an image into a component when it is defined; the compiler replaces this name by the
configured one in each task.
"""

IMAGE = "aegan/aegan-python:0.1.0"
