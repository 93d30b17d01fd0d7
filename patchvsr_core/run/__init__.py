"""A whole file from end to end: chunk by chunk, with less when memory runs out; and what that will cost.

Transparency and highlights, which no model sees, are upsampled separately.
"""
