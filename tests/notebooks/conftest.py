"""What runs a notebook, for the tests of its lessons on this machine."""

from nbval_run import nothing_left, run_notebook

__all__ = ["nothing_left", "run_notebook"]
