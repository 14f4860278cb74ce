"""What every test of the sweep needs."""

from service_models import service_models_are_read_once

__all__ = ["service_models_are_read_once"]
