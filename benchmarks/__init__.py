"""Benchmarks: one module a question, run by ``python -m benchmarks`` (``make bench``).

Each part writes its own table into ``docs/performance.md`` when it is done. What is timed
runs in processes of its own, one at a time, and contestants take turns, so that whatever
else the machine does falls on all of them alike: look at the ratios. No network is used.
"""
