"""How the demonstration checkpoints were trained; not part of the wheel."""
