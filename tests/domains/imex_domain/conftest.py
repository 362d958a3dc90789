from tests.domains.compute_domain.conftest import controlling

__all__ = ["controlling"]
