"""What every test shares."""

from hypothesis import settings

# A deadline is an assertion about time, and these machines are shared.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
