"""The Kubernetes objects that we read, their names, labels and kinds. Pure: no IO."""
