import inspect

import diffusers
from diffusers.models import autoencoders
from diffusers.models.modeling_utils import ModelMixin


def test_every_autoencoder_of_diffusers_is_where_it_is_looked_for() -> None:
    found: set[str] = set()
    for name in dir(diffusers):
        one = getattr(diffusers, name, None) if name.startswith(("Auto", "Asym", "VQ")) else None
        is_model = inspect.isclass(one) and issubclass(one, ModelMixin)
        if is_model and hasattr(one, "encode") and hasattr(one, "decode"):
            found.add(name)
    assert {"AutoencoderKL", "AutoencoderTiny", "VQModel"} <= found
    assert found <= set(dir(autoencoders))
