"""An in-memory Kubernetes API server: semantics in the store, HTTP in the server. No cluster behaviour lives here."""
