"""A rack that is not there: nothing outside this package imports it."""

import os

# The rack forks children beside gRPC clients; without this gRPC prints a line about each of them.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
