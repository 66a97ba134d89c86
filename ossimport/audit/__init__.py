"""Compare source and destination.

`arrived` sees, after a task was copied, that the destination holds it. `auditor` compares object by
object what both ends hold, however it came there; `compare` says what differs, `content` reads.
`extra` goes the other way: which of the destination's objects the source does not have.
"""
