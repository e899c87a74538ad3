# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # BrokerLab
#
# A course in message queuing that runs. Each lesson starts a real ZooKeeper and real Kafka brokers on this machine, and
# asks one question. The lessons build on each other; new here, begin with [Start here](01_start_here.ipynb).
#
# **Where are you?** Run the cell below (Shift+Enter) whenever you come back: it lists the lessons, the exercises that have
# passed on this machine, and the one to do next. A title opens its lesson.

# %% tags=["nbval-ignore-output"]
import brokerlab

course = brokerlab.course()
course

# %%
print("Every lesson and every record of a pass can be read:", not course.problem)

# %% [markdown]
# In little time, take the core path: it leaves out lessons 08, 09, 12, 15 and 16.
#
# An exercise that passes is written down in the folder of the lab's state, a file with the time of its first pass
# (`BROKERLAB_HOME`, see [the README](../README.md)); delete the folder `progress` there to begin anew. Nothing leaves this
# machine.
#
# The notebooks with the solutions are in the folder `solutions`; an exercise that passes there counts as well.
