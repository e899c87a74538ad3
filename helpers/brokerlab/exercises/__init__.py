"""`check()`, `hint()`, `solution()`: checks ask the cluster, never the learner's text.

    q = brokerlab.exercises.load("04_topics", lab)
    q[1].check()

One module a lesson, ``lesson_NN_name.py``, holds its ``EXERCISES`` and is imported by `load`.
"""

from brokerlab.exercises.engine import Exercise, Fact, Report, load

__all__ = ["Exercise", "Fact", "Report", "load"]
