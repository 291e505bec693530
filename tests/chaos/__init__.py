"""Chaos: processes that do everything to a server that suffers everything, against what they were told.

`sites.py`: the servers, and what happens to them. `worker.py`: a process that works, and that may be killed.
`story.py`: one session's life, beside `model.py`, the plainest model of it. `journal.py`: what a process keeps of what
it did. `shared.py`: sessions to which all append. `victim.py`, `evicted.py`: sessions that lose keys. `run.py`: a run,
and what is checked at its end.
"""
