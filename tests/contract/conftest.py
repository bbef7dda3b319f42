import pytest

pytest.register_assert_rewrite("trackbridge.testing")
