"""For every test: examples of hypothesis may take as long as a busy machine needs."""

from hypothesis import HealthCheck, settings

settings.register_profile("tako", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tako")
