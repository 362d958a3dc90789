from tests.bench import settles


def test_settles(capsys):
    """Prints the figures of the core and of a resync of 100,000 objects; asserts nothing about time."""
    with capsys.disabled():
        print()
        settles.main(100_000)
