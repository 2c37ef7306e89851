"""`aegan doctor`: does everything that a run needs work, and if not, what to do about it.

Each check is a function that returns a `Check`; `examine` puts them in order.
"""
