"""A pretend nvidia-imex and nvidia-imex-ctl with the real ones' manners, as programs and inside one process.

Standard library only: each start of the programs is a start of Python, so what they import is their start-up time.
"""
