"""What can be wrong with the machine or the bed, said in one line with the way out."""


class BedFault(Exception):
    """The bed cannot do what was asked, and why."""
