"""Files to 8-bit sRGB pictures, and their regions."""
