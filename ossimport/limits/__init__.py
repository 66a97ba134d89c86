"""Limits for the whole fleet: what they are, how they are shared, and how one process keeps them.

`limit` and `timetable` are what an operator sets, `amounts` how it is written; `sharing` divides
a limit among processes, `slowdown` follows what a service refuses; `gate` lets through what a
process may, `way` puts together the gates on the way to one endpoint.
"""
