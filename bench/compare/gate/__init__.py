"""Rules about quality and time, decided: pass, fail or inconclusive."""
